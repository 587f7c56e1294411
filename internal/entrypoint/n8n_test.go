package entrypoint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodKey = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6"

// n8nCommand makes a program called n8n that tells its key, and returns its path.
func n8nCommand(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n8n")
	if err := os.WriteFile(path,
		[]byte("#!/bin/sh\necho \"key ${N8N_ENCRYPTION_KEY-unset} file ${N8N_ENCRYPTION_KEY_FILE-unset}\"\n"),
		0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// home makes a folder with n8n's settings in it.
func home(t *testing.T, content string, mode os.FileMode) (folder, settings string) {
	t.Helper()
	folder = t.TempDir()
	settings = filepath.Join(folder, ".n8n", "config")
	if err := os.Mkdir(filepath.Dir(settings), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return folder, settings
}

func TestMasterKey(t *testing.T) {
	program := n8nCommand(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(goodKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "path")
	if err := os.WriteFile(path, []byte("/run/secrets/n8n_enc_key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := map[string]answer{
		"ref+corp://key": text(goodKey), "ref+corp://path": text("/run/secrets/n8n_enc_key"),
		"ref+corp://empty": text(""),
	}
	for name, c := range map[string]struct {
		environ []string
		exit    int
		out     string
		want    []string
	}{
		"by reference":                   {[]string{"N8N_ENCRYPTION_KEY=ref+corp://key"}, 0, "key " + goodKey + " file unset", nil},
		"by file, which a worker gets":   {[]string{"N8N_ENCRYPTION_KEY_FILE=" + file}, 0, "key " + goodKey + " file unset", nil},
		"the plain one before the file":  {[]string{"N8N_ENCRYPTION_KEY=" + goodKey, "N8N_ENCRYPTION_KEY_FILE=/no/such"}, 0, "key " + goodKey + " file /no/such", []string{"are both set"}},
		"neither":                        {nil, 0, "key unset file unset", nil},
		"short":                          {[]string{"N8N_ENCRYPTION_KEY=kurz"}, 0, "key kurz file unset", []string{"warning: N8N_ENCRYPTION_KEY is shorter than 16 characters"}},
		"a path":                         {[]string{"N8N_ENCRYPTION_KEY=/run/secrets/n8n_enc_key"}, 1, "", []string{"N8N_ENCRYPTION_KEY: is the name of a file: n8n would encrypt with the name itself", "hint: write N8N_ENCRYPTION_KEY_FILE=<that name>, or N8N_ENCRYPTION_KEY=ref+file://"}},
		"a path in the store":            {[]string{"N8N_ENCRYPTION_KEY=ref+corp://path"}, 1, "", []string{"is the name of a file"}},
		"a path in the file":             {[]string{"N8N_ENCRYPTION_KEY_FILE=" + path}, 1, "", []string{"is the name of a file"}},
		"empty":                          {[]string{"N8N_ENCRYPTION_KEY="}, 1, "", []string{"N8N_ENCRYPTION_KEY: is empty"}},
		"empty before a file":            {[]string{"N8N_ENCRYPTION_KEY=", "N8N_ENCRYPTION_KEY_FILE=" + file}, 1, "", []string{"N8N_ENCRYPTION_KEY: is empty", "are both set"}},
		"empty in the store":             {[]string{"N8N_ENCRYPTION_KEY=ref+corp://empty"}, 1, "", []string{"N8N_ENCRYPTION_KEY: is empty"}},
		"an example":                     {[]string{"N8N_ENCRYPTION_KEY=super-secret-key"}, 1, "", []string{"an example that everybody knows"}},
		"a template":                     {[]string{"N8N_ENCRYPTION_KEY=${N8N_KEY}"}, 1, "", []string{"nothing has filled in"}},
		"a file that is not there":       {[]string{"N8N_ENCRYPTION_KEY_FILE=/no/such/file"}, 1, "", []string{"N8N_ENCRYPTION_KEY: reading the file that N8N_ENCRYPTION_KEY_FILE names"}},
		"a webhook process without keys": {[]string{"ROLE=webhook"}, 0, "key unset file unset", []string{"this webhook process will make a key of its own"}},
	} {
		t.Run(name, func(t *testing.T) {
			argv := []string{program, "worker"}
			if strings.Contains(name, "webhook") {
				argv[1] = "webhook"
			}
			p := start(t, scene{answers: answers, environ: c.environ, argv: argv})
			if out := p.ends(c.exit); out != c.out {
				t.Errorf("got %q, want %q", out, c.out)
			}
			p.wants(c.want...)
		})
	}
}

// TestWhoIsN8N: the name of the variable is enough, whatever is started, and however it gets n8n going.
func TestWhoIsN8N(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("/run/secrets/n8n_enc_key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	for _, name := range []string{"npx", "entrypoint.sh", "pm2-runtime"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[string]answer{"ref+corp://path": text("/run/secrets/n8n_enc_key"), "ref+corp://key": text(goodKey)}
	for _, argv := range [][]string{
		{"/bin/sh", "-c", "n8n start"},
		{"/bin/sh", "-c", "sleep 5; exec n8n"},
		{filepath.Join(bin, "npx"), "n8n"},
		{"/usr/bin/timeout", "1h", "n8n", "worker"},
		{"/usr/bin/env", "-i", "n8n"},
		{filepath.Join(bin, "entrypoint.sh")},
		{filepath.Join(bin, "pm2-runtime"), "n8n"},
		{"role:dump"},
	} {
		for _, environ := range []string{
			"N8N_ENCRYPTION_KEY=/run/secrets/n8n_enc_key", "N8N_ENCRYPTION_KEY=ref+corp://path", "N8N_ENCRYPTION_KEY_FILE=" + file,
			"N8N_ENCRYPTION_KEY=changeme", "N8N_ENCRYPTION_KEY=",
		} {
			start(t, scene{answers: answers, environ: []string{environ}, argv: argv}).ends(1)
		}
	}
	start(t, scene{
		answers: answers, environ: []string{"N8N_ENCRYPTION_KEY=ref+corp://key"},
		argv: []string{"role:dump"},
	}).ends(0)
	// another variable
	s := scene{environ: []string{"N8N_ENCRYPTION_KEYS=/run/secrets/n8n_enc_key"}, argv: []string{"role:dump"}}
	start(t, s).ends(0)
}

// TestFilesLeftToN8N: with --files none the key is looked at where n8n will read it.
func TestFilesLeftToN8N(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("changeme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scene{environ: []string{"N8N_ENCRYPTION_KEY_FILE=" + file}, argv: []string{n8nCommand(t)}}
	s.Options.Files.None = true
	p := start(t, s)
	p.ends(1)
	p.wants("an example that everybody knows")
	s.environ[0] += ".gone"
	p = start(t, s)
	p.ends(1)
	p.wants("N8N_ENCRYPTION_KEY_FILE: reading the file")
}

func TestSettingsFile(t *testing.T) {
	program := n8nCommand(t)
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		key     string
		exit    int
		want    string
	}{
		"the same key":               {`{"encryptionKey":"` + goodKey + `"}`, 0o600, goodKey, 0, ""},
		"the same, as n8n reads it":  {`{"encryptionKey":"` + goodKey + `"}`, 0o600, ` "` + goodKey + "\" \n", 0, "has a line break"},
		"the same, open to others":   {`{"encryptionKey":"` + goodKey + `"}`, 0o644, goodKey, 0, "can be read by others (mode 0644)"},
		"another":                    {`{"encryptionKey":"another-key-than-that"}`, 0o600, goodKey, 12, "is not the key in n8n's settings file"},
		"none, which n8n refuses":    {`{}`, 0o600, goodKey, 12, "is not the key in n8n's settings file"},
		"a quoted key inside":        {`{"encryptionKey":"\"` + goodKey + `\""}`, 0o600, goodKey, 12, "is not the key"},
		"broken":                     {`{"encryptionKey":`, 0o600, goodKey, 0, "it is not JSON, and n8n will not start"},
		"no key handed over, no say": {`{"encryptionKey":"another"}`, 0o600, "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			folder, settings := home(t, c.content, c.mode)
			s := scene{
				answers: map[string]answer{"ref+corp://key": text(c.key)},
				environ: []string{"N8N_USER_FOLDER=" + folder}, argv: []string{program},
			}
			if c.key != "" {
				s.environ = append(s.environ, "N8N_ENCRYPTION_KEY=ref+corp://key")
			}
			p := start(t, s)
			p.ends(c.exit)
			p.wants(c.want)
			if c.exit == 12 {
				p.wants(settings, "hint: if the key was changed on purpose")
			}
			if strings.Contains(p.stderr.String(), goodKey) || strings.Contains(p.stderr.String(), "another-key") {
				t.Errorf("a key is told:\n%s", p.stderr)
			}
		})
	}
}

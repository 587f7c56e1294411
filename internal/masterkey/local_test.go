package masterkey_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/secret"
)

const (
	good  = "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6"
	other = "Z9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4"
	nonce = "0123456789abcdef"
)

func TestFingerprint(t *testing.T) {
	// printf %s q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6 | openssl dgst -sha256 -hmac 0123456789abcdef
	const want = "23d252779e0d40bb62427028fd6032fd5d80fd18852a1209a49232777d40c861"
	if got := masterkey.Fingerprint(secret.NewValue([]byte(good)), nonce); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if a, b := masterkey.NewNonce(), masterkey.NewNonce(); a == b || len(a) < 20 {
		t.Errorf("nonces %q and %q", a, b)
	}
}

// situation is an environment. FILE and CONFIG in a variable stand for a file with the key, and for n8n's folder.
type situation struct {
	env      map[string]string
	file     string // content of the key file
	settings string // content of n8n's settings file, "" for none
	// used is what the copy that n8n encrypts with is from ("" for none); fault is a part of what is wrong.
	used, fault string
	disagree    bool
}

func TestInspect(t *testing.T) {
	const name, file = "N8N_ENCRYPTION_KEY", "N8N_ENCRYPTION_KEY_FILE"
	settings := func(key string) string { return fmt.Sprintf(`{"encryptionKey": %q}`, key) }
	for title, s := range map[string]situation{
		"a variable":                  {env: map[string]string{name: good}, used: name},
		"quoted, and in the settings": {env: map[string]string{name: ` "` + good + `" `}, settings: settings(good), used: name},
		"a file":                      {env: map[string]string{file: "FILE"}, file: good + "\n", used: file},
		"both: the variable":          {env: map[string]string{name: good, file: "FILE"}, file: other, settings: settings(good), used: name},
		"the settings alone":          {settings: settings(good), used: "config"},
		"an empty variable, settings": {env: map[string]string{name: "", file: "FILE"}, file: other, settings: settings(good), used: "config"},
		"other settings":              {env: map[string]string{name: good}, settings: settings(other), used: name, disagree: true, fault: "is not the one in n8n's settings"},
		"a file and other settings":   {env: map[string]string{file: "FILE"}, file: good, settings: settings(other), used: file, disagree: true, fault: "is not the one"},
		"settings without a key":      {env: map[string]string{name: good}, settings: "{}", used: name, disagree: true, fault: "has no key in it"},
		"a key and broken settings":   {env: map[string]string{name: good}, settings: good, used: name, disagree: true, fault: "is not JSON"},
		"nothing":                     {fault: "there is no master key"},
		"an empty variable":           {env: map[string]string{name: " "}, fault: name + " is empty"},
		"an empty file":               {env: map[string]string{file: "FILE"}, file: "\n", fault: file + " is empty"},
		"a path":                      {env: map[string]string{name: "/run/secrets/n8n_enc_key"}, used: name, fault: "is the name of a file"},
		"an example":                  {env: map[string]string{name: "super-secret-key"}, used: name, fault: "example"},
		"a reference":                 {env: map[string]string{name: "ref+corp://n8n#key"}, used: name, fault: "is a reference"},
		"a short key":                 {env: map[string]string{name: "k3y-Abc-9"}, used: name},
		"a file that is not there":    {env: map[string]string{file: "/nonexistent/" + good}, settings: settings(good), fault: "no such file"},
		"settings without, alone":     {settings: "{}", fault: "has no key in it"},
		"broken settings":             {settings: good, fault: "is not JSON"},
	} {
		t.Run(title, func(t *testing.T) { inspect(t, s) })
	}
}

func inspect(t *testing.T, s situation) {
	t.Helper()
	l := masterkey.Inspect(s.lookup(t), nonce)
	used := ""
	for _, c := range l.Copies {
		if c.Used {
			used += filepath.Base(c.From)
		}
		if c.Used && len(c.Fingerprint) != 64 {
			t.Errorf("%s has the fingerprint %q", c.From, c.Fingerprint)
		}
	}
	if diff := cmp.Diff(s.used, used); diff != "" || l.Agree == s.disagree {
		t.Errorf("used (-want +got): %s agree %t", diff, l.Agree)
	}
	err := l.Fault()
	if (err == nil) != (s.fault == "") || err != nil &&
		(!strings.Contains(err.Error(), s.fault) || fault.HintOf(err) == "") {
		t.Errorf("got %v (hint %q), want %q", err, fault.HintOf(err), s.fault)
	}
	if l.Usable != (err == nil) && l.Agree {
		t.Errorf("usable %t, and %v", l.Usable, err)
	}
	out, _ := json.Marshal(l)
	for _, key := range []string{good, other, "super-secret-key", "k3y-Abc-9", "/run/secrets"} {
		if strings.Contains(fmt.Sprintf("%s %+v %#v %v", out, l, l, err), key) {
			t.Errorf("%s stands in %s", key, out)
		}
	}
}

// lookup makes the files of a situation, and returns its environment.
func (s situation) lookup(t *testing.T) func(string) (string, bool) {
	t.Helper()
	home := t.TempDir()
	write := func(path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.settings != "" {
		if err := os.Mkdir(filepath.Join(home, ".n8n"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(home, ".n8n", "config"), s.settings)
	}
	write(filepath.Join(home, "key"), s.file)
	return func(name string) (string, bool) {
		if name == "HOME" {
			return home, true
		}
		value, ok := s.env[name]
		if value == "FILE" {
			value = filepath.Join(home, "key")
		}
		return value, ok
	}
}

// TestFingerprintsAreOfWhatN8NReads: two nodes with the same key have the same fingerprint, however it is written.
func TestFingerprintsAreOfWhatN8NReads(t *testing.T) {
	of := func(s situation) string { return masterkey.Inspect(s.lookup(t), nonce).Copies[0].Fingerprint }
	want := of(situation{env: map[string]string{"N8N_ENCRYPTION_KEY": good}})
	for title, s := range map[string]situation{
		"quoted":   {env: map[string]string{"N8N_ENCRYPTION_KEY": `'` + good + `'`}},
		"a file":   {env: map[string]string{"N8N_ENCRYPTION_KEY_FILE": "FILE"}, file: "\ufeff" + good + "\r\n"},
		"settings": {settings: `{"encryptionKey":"` + good + `"}`},
	} {
		if got := of(s); got != want {
			t.Errorf("%s: %s, want %s", title, got, want)
		}
	}
	if got := of(situation{env: map[string]string{"N8N_ENCRYPTION_KEY": other}}); got == want {
		t.Error("another key has the same fingerprint")
	}
}

// TestLowBytes: n8n takes the low byte of each UTF-16 unit for CBC, so that "ş" (U+015F) is "_" there, and the whole
// key for the rows of deployment_key. The two keys are not the same, and what they have in common shows.
func TestLowBytes(t *testing.T) {
	of := func(key string) masterkey.Copy {
		used, _ := masterkey.Inspect(situation{env: map[string]string{"N8N_ENCRYPTION_KEY": key}}.lookup(t),
			nonce).Used()
		return used
	}
	plain, cut, wide := of(good+"_"), of(good+"ş"), of(good+"😀")
	if plain.Low != "" || cut.Low != plain.Fingerprint || cut.Fingerprint == plain.Fingerprint {
		t.Errorf("got %+v and %+v", plain, cut)
	}
	// U+1F600 is the units D83D and DE00.
	if wide.Low != masterkey.Fingerprint(secret.NewValue([]byte(good+"=\x00")), nonce) {
		t.Errorf("got %+v", wide)
	}
}

// TestKeyStaysHere: who inspects has the key, who reads the JSON has not.
func TestKeyStaysHere(t *testing.T) {
	l := masterkey.Inspect(situation{settings: `{"encryptionKey":"` + good + `"}`}.lookup(t), nonce)
	if string(l.Key().Reveal()) != good || l.Copies[0].Mode != "0600" {
		t.Errorf("got %+v", l)
	}
	content, err := json.Marshal(l)
	var read masterkey.Local
	if err != nil || json.Unmarshal(content, &read) != nil || !read.Key().IsZero() {
		t.Errorf("read %+v, %v", read, err)
	}
	if _, has := (masterkey.Local{}).Used(); has {
		t.Error("nothing has a key")
	}
}

package entrypoint_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/entrypoint"
	"sallyport/internal/fault"
)

func text(s string) answer { return answer{Value: []byte(s)} }

// TestReplaces: the program takes over the very process, with its values, and an environment that is otherwise the
// same.
func TestReplaces(t *testing.T) {
	const canary = "canary-7f3a91"
	environ := []string{
		"PLAIN=as it is", "EMPTY=", "SECRET=ref+corp://n8n/db#password", "AGAIN=ref+corp://n8n/db#password", "ODD==a=b", "OP=op://prod/openai/key",
		"MIDDLE=postgres://u:ref+corp://x@host/db", "ALMOST=ref+nothing", "APP_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:1:secret:x",
	}
	answers := map[string]answer{"ref+corp://n8n/db#password": text(canary), "ref+op://prod/openai/key": text("one")}
	d, p := dumps(t, scene{answers: answers, environ: environ, argv: []string{"ref+corp://n8n/db#password", "--flag"}})
	if d.PID != p.cmd.Process.Pid {
		t.Errorf("the program is process %d, the entrypoint was %d", d.PID, p.cmd.Process.Pid)
	}
	want := slices.Clone(p.cmd.Env)
	for i, entry := range want {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "SECRET", "AGAIN":
			want[i] = name + "=" + canary
		case "OP":
			want[i] = "OP=one"
		}
	}
	if diff := cmp.Diff(want, d.Environ); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ref+corp://n8n/db#password", "--flag"}, d.Args); diff != "" {
		t.Errorf("arguments: %s", diff)
	}
	p.wants("resolving 2\n", "warning: MIDDLE has a reference inside other text",
		"warning: argument 2 holds a reference; arguments are not resolved")
	if strings.Contains(p.stderr.String(), "ALMOST") || strings.Contains(p.stderr.String(), "ARN") {
		t.Errorf("ordinary values are talked of:\n%s", p.stderr)
	}
	if strings.Contains(p.stderr.String(), canary) {
		t.Error("the value is in the log")
	}
	onDisk(t, p.cmd.Dir, canary)
}

// onDisk wants no file with the canary, but for the answers that the test itself wrote, where it is in base64.
func onDisk(t *testing.T, dir, canary string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(canary)) {
			t.Errorf("the value is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPanicInAStore is told as a mistake of Sallyport's, with a code, and quotes no value; the program is not started.
func TestPanicInAStore(t *testing.T) {
	const canary = "canary-51c0de"
	p := start(t, scene{
		answers: map[string]answer{"ref+corp://n8n/db#password": {Panic: true, Value: []byte(canary)}},
		environ: []string{"SECRET=ref+corp://n8n/db#password"}, argv: []string{"role:dump"},
	})
	p.ends(int(fault.ExitOf(&fault.Panic{})))
	p.wants("error: ", "panic")
	if strings.Contains(p.stderr.String(), canary) {
		t.Errorf("the value is in the log:\n%s", p.stderr)
	}
}

// TestAllFailuresAtOnce: each with its variable, reference, store, cause and remedy; the store's exit code before the
// others.
func TestAllFailuresAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string]answer
		environ []string
		exit    int
		want    []string
	}{
		"one": {
			map[string]answer{"ref+corp://a": {Err: "denied"}},
			[]string{"A=ref+corp://a"},
			1,
			[]string{`error: A: resolving ref+corp://a from store "corp": reading secret "a": the store denies access` +
				"\n", "hint: remedy for a\n"},
		},
		"several, the store down": {
			map[string]answer{
				"ref+corp://a": {Err: "missing"}, "ref+down://b": {Err: "unavailable"},
				"ref+corp://nul": text("a\x00b"),
			},
			[]string{"A=ref+corp://a", "B=ref+down://b", "N=ref+corp://nul", "N8N_X_FILE=/no/such/file"},
			10,
			[]string{
				`A: resolving ref+corp://a from store "corp": reading secret "a": no such secret; remedy for a` + "\n",
				`B: resolving ref+down://b from store "down": reading secret "b": the store is unavailable; remedy for b` + "\n",
				"N: resolving ref+corp://nul from store \"corp\": the value has a NUL byte", "N8N_X: reading the file that N8N_X_FILE names: open /no/such/file",
			},
		},
		"malformed, before anything is asked": {
			nil,
			[]string{"A=ref+corp://../x", "B=op://too/short", "C=arn:aws:secretsmanager:r:a:secret:x:y"},
			1,
			[]string{
				`A: reading reference "ref+corp://../x"`, `B: reading reference "op://too/short"`,
				`C: reading reference "arn:`,
			},
		},
		"a reference where a file's name belongs": {
			nil,
			[]string{"N8N_ENCRYPTION_KEY_FILE=ref+corp://a"},
			1,
			[]string{"N8N_ENCRYPTION_KEY_FILE: holds a reference", "hint: write N8N_ENCRYPTION_KEY=<the reference>"},
		},
		"too large for any program": {
			map[string]answer{"ref+corp://a": {Value: bytes.Repeat([]byte("x"), 1<<20)}},
			[]string{"A=ref+corp://a"},
			1,
			[]string{
				"A: resolving ref+corp://a from store \"corp\": the value has 1048576 bytes; Linux takes at most",
				"(E2BIG)",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, scene{answers: c.answers, environ: c.environ, argv: []string{"role:dump"}})
			if out := p.ends(c.exit); out != "" {
				t.Errorf("the program was started: %s", out)
			}
			p.wants(c.want...)
			if c.answers == nil && strings.Contains(p.stderr.String(), "resolving ") {
				t.Errorf("the stores were asked:\n%s", p.stderr)
			}
		})
	}
}

// TestTooLargeTogether: each value fits, all of them do not.
func TestTooLargeTogether(t *testing.T) {
	s := scene{
		answers: map[string]answer{"ref+corp://a": {Value: bytes.Repeat([]byte("x"), 120<<10)}},
		argv:    []string{"role:dump"},
	}
	for i := range 60 {
		s.environ = append(s.environ, "BIG_"+strings.Repeat("I", i)+"=ref+corp://a")
	}
	for _, supervise := range []bool{false, true} {
		s.Options.Supervise = supervise
		p := start(t, s)
		p.ends(126)
		p.wants("(E2BIG)", "hint: hand the largest values over as files: BIG_")
	}
}

func TestOddValuesAreHandedOver(t *testing.T) {
	d, p := dumps(t, scene{
		environ: []string{"PEM=ref+corp://pem", "LOOP=ref+corp://loop", "NONE=ref+corp://none"},
		answers: map[string]answer{
			"ref+corp://pem": text("a\nb\n"), "ref+corp://loop": text("ref+corp://loop"),
			"ref+corp://none": text(""),
		},
	})
	if got := []string{d.lookup("PEM"), d.lookup("LOOP"), d.lookup("NONE")}; !slices.Equal(got,
		[]string{"a\nb\n", "ref+corp://loop", ""}) {
		t.Errorf("got %q", got)
	}
	p.wants("value of PEM has a line break", "value of LOOP is a reference itself",
		"value of NONE is empty", "resolving 3\n")
}

func TestScope(t *testing.T) {
	answers := map[string]answer{"ref+corp://a": text("value")}
	environ := []string{"APP_A=ref+corp://a", "APP_B=ref+corp://a", "OTHER=ref+corp://a"}
	d, p := dumps(t, scene{
		setup:   setup{Options: entrypoint.Options{Prefix: "APP_", Only: []string{"APP_A", "OTHER"}}},
		answers: answers, environ: environ,
	})
	if got := []string{d.lookup("APP_A"), d.lookup("APP_B"), d.lookup("OTHER")}; !slices.Equal(got,
		[]string{"value", "ref+corp://a", "ref+corp://a"}) {
		t.Errorf("got %q", got)
	}
	p.wants("warning: OTHER holds a reference that is not resolved: it is not among --only and --prefix")
}

func TestStrict(t *testing.T) {
	for entry, want := range map[string]string{
		"A=CHANGEME": "A: was left as the template has it", "A=<token>": "A: was left as the template has it", "A=todo": "A: was left as the template has it",
		"A= ref+corp://a": "A: holds a reference with blanks around it", "A=x ref+corp://a": "A: has a reference inside other text",
		"OUT=ref+corp://a": "OUT: holds a reference that is not resolved", "A=ref+corp://loop": "the value is a reference itself",
	} {
		t.Run(entry, func(t *testing.T) {
			s := scene{
				environ: []string{entry}, argv: []string{"role:dump"},
				answers: map[string]answer{"ref+corp://loop": text("ref+corp://x")},
			}
			s.Options.Only = []string{"A"}
			d, _ := dumps(t, s)
			if len(d.Environ) == 0 {
				t.Error("without --strict it is not started")
			}
			s.Options.Strict = true
			p := start(t, s)
			p.ends(1)
			p.wants(want)
		})
	}
	s := scene{environ: []string{"A=fine"}, argv: []string{"role:exit", "0", "ref+corp://a"}}
	s.Options.Strict = true
	p := start(t, s)
	p.ends(1)
	p.wants("argument 3: holds a reference; arguments are not resolved")
}

func TestStoresCredentialsStayHere(t *testing.T) {
	environ := []string{
		"VAULT_TOKEN=x", "VAULT_ADDR=y", "BAO_TOKEN=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_SESSION_TOKEN=x", "AWS_ACCESS_KEY_ID=x", "AZURE_CLIENT_SECRET=x",
		"GOOGLE_APPLICATION_CREDENTIALS=/x", "SALLYPORT_SEAL_KEY=x", "OP_SERVICE_ACCOUNT_TOKEN=x", "CORP_TOKEN=x", "AWS_REGION=stays", "VAULTED=stays",
	}
	s := scene{environ: environ}
	s.Options.Withhold = []string{"CORP_TOKEN"}
	for _, kind := range app.Kinds().Stores {
		s.Options.Withhold = append(s.Options.Withhold, kind.Withhold...)
	}
	for _, supervise := range []bool{false, true} {
		s.Options.Supervise = supervise
		d, p := dumps(t, s)
		for _, entry := range d.Environ {
			if strings.HasSuffix(entry, "=x") || strings.Contains(entry, "GOOGLE") ||
				strings.HasPrefix(entry, "VAULT_") {
				t.Errorf("the program got %s", entry)
			}
		}
		if d.lookup("AWS_REGION") != "stays" || d.lookup("VAULTED") != "stays" {
			t.Errorf("more was withheld than credentials: %q", d.Environ)
		}
		p.wants("VAULT_TOKEN, VAULT_ADDR", "--keep NAME")
	}
	s.Options.Keep = []string{"VAULT_*", "AWS_SESSION_TOKEN"}
	s.environ = append(s.environ, "OP_CONNECT_TOKEN=ref+corp://a")
	s.answers = map[string]answer{"ref+corp://a": text("meant for the program")}
	d, _ := dumps(t, s)
	if d.lookup("VAULT_TOKEN") != "x" || d.lookup("AWS_SESSION_TOKEN") != "x" || d.lookup("BAO_TOKEN") != "(unset)" {
		t.Errorf("--keep: %q", d.Environ)
	}
	if d.lookup("OP_CONNECT_TOKEN") != "meant for the program" {
		t.Error("a reference in a variable of a store's name was not handed over")
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, db, other := file("key", " from file \r\n\u00a0"), file("db", "db"), file("other", "other\n")
	environ := []string{
		"N8N_SMTP_PASS_FILE=" + key, "DB_POSTGRESDB_PASSWORD_FILE=" + db, "DB_POSTGRESDB_PASSWORD=", "SSL_CERT_FILE=" + other, "MY_FILE=" + other, "QUEUE_X_FILE=",
	}
	for name, c := range map[string]struct {
		files entrypoint.Files
		want  map[string]string
	}{
		"n8n's": {entrypoint.Files{}, map[string]string{
			"N8N_SMTP_PASS": "from file", "N8N_SMTP_PASS_FILE": "(unset)", "DB_POSTGRESDB_PASSWORD": "", "DB_POSTGRESDB_PASSWORD_FILE": db,
			"SSL_CERT_FILE": other, "SSL_CERT": "(unset)", "MY_FILE": other, "QUEUE_X": "(unset)", "QUEUE_X_FILE": "",
		}},
		"one more": {entrypoint.Files{Names: []string{"MY"}}, map[string]string{"MY": "other", "MY_FILE": "(unset)", "N8N_SMTP_PASS": "from file"}},
		"none":     {entrypoint.Files{None: true}, map[string]string{"N8N_SMTP_PASS": "(unset)", "N8N_SMTP_PASS_FILE": key}},
	} {
		t.Run(name, func(t *testing.T) {
			s := scene{environ: environ}
			s.Options.Files = c.files
			d, p := dumps(t, s)
			for variable, want := range c.want {
				if got := d.lookup(variable); got != want {
					t.Errorf("%s is %q, want %q", variable, got, want)
				}
			}
			if !c.files.None {
				p.wants("DB_POSTGRESDB_PASSWORD and DB_POSTGRESDB_PASSWORD_FILE are both set: DB_POSTGRESDB_PASSWORD " +
					"counts, as in n8n")
			}
		})
	}
}

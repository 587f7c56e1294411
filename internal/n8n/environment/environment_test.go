package environment_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/n8n/environment"
)

// of returns a lookup in NAME=VALUE pairs.
func of(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if n, v, _ := strings.Cut(p, "="); n == name {
				return v, true
			}
		}
		return "", false
	}
}

func TestCommand(t *testing.T) {
	for argv, want := range map[string]environment.Role{
		"n8n":                          environment.Main,
		"n8n start":                    environment.Main,
		"n8n worker --concurrency=5":   environment.Worker,
		"/usr/local/bin/n8n webhook":   environment.Webhook,
		"n8n export:workflow --all":    environment.Main,
		"n8n start worker":             environment.Main,
		"node /app/n8n/bin/n8n worker": environment.Worker,
		"node --max-old-space-size=9 --enable-source-maps /x/n8n": environment.Main,
		"/usr/bin/node bin/n8n.js webhook":                        environment.Webhook,
		"tini -- n8n worker":                                      environment.Worker,
		"tini -- /docker-entrypoint.sh worker":                    environment.Worker,
		"/docker-entrypoint.sh":                                   environment.Main,
		"su-exec node n8n":                                        environment.Main,
		"env A=b n8n webhook":                                     environment.Webhook,
	} {
		if got, ok := environment.Command(strings.Fields(argv), of("N8N_VERSION=2.41.1")); !ok || got != want {
			t.Errorf("%q: got %q, %t; want %q", argv, got, ok, want)
		}
	}
	for _, argv := range []string{
		"", "sh -c n8n", "echo n8n", "node server.js n8n", "node", "tini -- postgres",
		"grep n8n file", "n8n-cli", "/docker-entrypoint.sh postgres",
	} {
		if role, ok := environment.Command(strings.Fields(argv), of()); ok {
			t.Errorf("%q is taken for n8n %s", argv, role)
		}
	}
}

func TestKnows(t *testing.T) {
	for name, want := range map[string]bool{
		"N8N_ENCRYPTION_KEY": true, "DB_POSTGRESDB_PASSWORD": true, "QUEUE_BULL_REDIS_PASSWORD": true, "CREDENTIALS_OVERWRITE_DATA": true,
		"HTTPS_PROXY": true, "WEBHOOK_URL": true,
		"N8N_": false, "DB_PASSWORD": false, "SSL_CERT": false, "POSTGRES_PASSWORD": false, "": false, "n8n_encryption_key": false,
	} {
		if got := environment.Knows(name); got != want {
			t.Errorf("Knows(%q) = %t", name, got)
		}
	}
}

// TestNormalize holds to normalizeEnvValue of @n8n/config: trim, then /^(['"])(.*)\1$/.
func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"plain":                     "plain",
		"  spaced\t\r\n":            "spaced",
		"\ufeffmarked\u00a0":        "marked",
		"nel\u0085":                 "nel\u0085",
		`"quoted key"`:              "quoted key",
		`'quoted'`:                  "quoted",
		` "both" `:                  "both",
		`""twice""`:                 `"twice"`,
		`"mixed'`:                   `"mixed'`,
		`"`:                         `"`,
		`""`:                        "",
		`"a` + "\n" + `b"`:          `"a` + "\n" + `b"`,
		`" inner blanks are kept "`: " inner blanks are kept ",
	} {
		if got := environment.Normalize(in); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestKeyProblem(t *testing.T) {
	here := filepath.Join(t.TempDir(), "Key.TXT")
	if err := os.WriteFile(here, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	for key, want := range map[string]string{
		"/run/secrets/n8n_enc_key":        "name of a file",
		" \"/run/secrets/n8n_enc_key\"\n": "name of a file",
		"/run/secrets/N8N-Key":            "name of a file",
		"/keys/n8n.txt":                   "name of a file",
		"./n8n_enc_key.txt":               "name of a file",
		"~/n8n.key":                       "name of a file",
		"file:///run/secrets/x":           "name of a file",
		here:                              "name of a file",
		"":                                "is empty",
		" ":                               "is empty",
		`""`:                              "is empty",
		"${N8N_KEY}":                      "nothing has filled in",
		"$(cat /run/secrets/key)":         "nothing has filled in",
		"$N8N_KEY":                        "nothing has filled in",
		"{{ .Values.key }}":               "nothing has filled in",
		"CHANGEME":                        "example",
		"change-me-in-production":         "example",
		"<SOME RANDOM STRING>":            "example",
		"Super-Secret-Key":                "example",
		"your-encryption-key-here":        "example",
		"TODO":                            "example",
	} {
		problem, hint := environment.KeyProblem(key, exists)
		if !strings.Contains(problem, want) || hint == "" {
			t.Errorf("%q: got %q, hint %q; want %q", key, problem, hint, want)
		}
		if key != "" && len(key) > 6 && strings.Contains(problem+hint, key) {
			t.Errorf("%q: the key stands in %q, %q", key, problem, hint)
		}
	}
	for _, key := range []string{
		"/Xy3q9vZ0b/tT+kA1mN8pL5rW2sD4fG7", "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6", "YWJjZGVmZ2hpamtsbW5vcHFy/3N0dXZ3", "$2b$10$abcdefghijklmnopqrstuv",
		"labkey-AAAA-0123456789abcdef", "a.b.c.d.e.f.g.h.i.j.k", "correct horse battery staple",
	} {
		if problem, _ := environment.KeyProblem(key, exists); problem != "" {
			t.Errorf("%q: %s", key, problem)
		}
	}
}

func TestKeyDoubt(t *testing.T) {
	for key, doubtful := range map[string]bool{
		"short": true, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": true, "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6": false,
	} {
		if got := environment.KeyDoubt(key); (got != "") != doubtful {
			t.Errorf("%q: %q", key, got)
		}
	}
}

func TestIsPlaceholder(t *testing.T) {
	for _, v := range []string{
		"CHANGEME", "changeme", "change_me", "Change-This", "CHANGEME!", "TODO", "todo", "FIXME",
		"<your password>", "<>", "xxx", "...", "REPLACE_ME", "your-token-here", " changeme ",
	} {
		if !environment.IsPlaceholder(v) {
			t.Errorf("%q is not taken for a placeholder", v)
		}
	}
	for _, v := range []string{"", "changed", "todos", "method", "xx", "a<b>", "<a><b>", "I changeme", "postgres"} {
		if environment.IsPlaceholder(v) {
			t.Errorf("%q is taken for a placeholder", v)
		}
	}
}

func TestSettings(t *testing.T) {
	home := t.TempDir()
	path := environment.SettingsPath(of("HOME=/nowhere", "N8N_USER_FOLDER="+home))
	if want := filepath.Join(home, ".n8n", "config"); path != want {
		t.Fatalf("got %q, want %q", path, want)
	}
	if got := environment.SettingsPath(of("HOME=/home/node")); got != "/home/node/.n8n/config" {
		t.Errorf("with HOME: %q", got)
	}
	if got := environment.SettingsPath(of()); got != ".n8n/config" {
		t.Errorf("with neither: %q", got)
	}
	if _, err := environment.ReadSettings(path); !errors.Is(err, environment.ErrNoSettings) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{\n\t\"encryptionKey\": \"the-key\",\n\t\"tunnelSubdomain\": \"x\"\n}")
	if s, err := environment.ReadSettings(path); err != nil || string(s.Key.Reveal()) != "the-key" || s.Mode != 0o600 {
		t.Errorf("got %v, %v", s, err)
	}
	write("{}")
	if s, err := environment.ReadSettings(path); err != nil || !s.Key.IsZero() {
		t.Errorf("got %v, %v", s, err)
	}
	for _, broken := range []string{"", "the-key", `{"encryptionKey": 1}`, `{"encryptionKey": "the-key"`} {
		write(broken)
		if _, err := environment.ReadSettings(path); err == nil || strings.Contains(err.Error(), "the-key") ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// FuzzParse gives the parser anything at all. It must not panic, every error must have a position, what loads must also
// load as it is shown, and a literal in a place where a secret belongs is never shown.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, warns, err := config.Parse(app.Kinds(), "sallyport.yaml", src, nil)
		checkReport(t, warns, err)
		if err == nil {
			_ = config.Origins(cfg)
			_ = cfg.Override("data", "/elsewhere", "--data flag")
		}
	})
}

func checkReport(t *testing.T, warns config.Warnings, err error) {
	t.Helper()
	if strings.Contains(report(warns, err), canary) {
		t.Errorf("a literal secret is shown:\n%s", report(warns, err))
	}
	var list config.Errors
	if err != nil && (!errors.As(err, &list) || len(list) == 0) {
		t.Fatalf("%T, want config.Errors", err)
	}
	for _, e := range list {
		if e.File == "" || e.Line < 1 || e.Column < 1 {
			t.Errorf("%+v has no place", *e)
		}
	}
}

// FuzzSecretField puts anything into every place where a secret belongs: no error shows it.
func FuzzSecretField(f *testing.F) {
	for _, s := range []string{
		canary, "ref+" + canary, "ref+builtin://" + canary + " x", "ref+Builtin://" + canary,
		"[" + canary + "]", "{a: " + canary + "}", canary + ": x", "|\n  " + canary, "'" + canary, `"` + canary + `\q"`,
		"!!binary " + canary, "&" + canary + " x", "*" + canary,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !strings.Contains(value, canary) {
			value += canary
		}
		for _, template := range []string{
			"services:\n  a:\n    upstream: https://a.example.com\n    secret: %\n",
			"services:\n  a:\n    upstream: https://a.example.com\n    credential: {kind: basic, username_secret: %, secret: %}\n",
			"services:\n  a:\n    upstream: https://a.example.com\n    tls: {cert: %, key: %}\n    proxy_secret: %\n    credentials: [{kind: bearer, secret: %}]\n",
			"services:\n  a:\n    upstream: https://a.example.com\n    credential: {kind: oauth2_client_credentials, token_url: %, client_id: %, client_secret: %, scopes: [%], params: {password: %}}\n",
			"services:\n  a:\n    upstream: https://a.example.com\n    credential: {kind: exchange, token: %, lifetime: %, request: {url: %, json: {a: [%], password: %}}, inputs: {a: %}}\n",
			"services:\n  a:\n    upstream: https://a.example.com\n    credential: {kind: hmac, header: X-A, secret: %, message: %, format: %}\n",
		} {
			_, warns, err := config.Parse(app.Kinds(), "sallyport.yaml",
				[]byte(strings.ReplaceAll(template, "%", value)), nil)
			checkReport(t, warns, err)
		}
	})
}

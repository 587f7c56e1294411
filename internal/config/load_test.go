package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

func parse(t *testing.T, src string) *config.Config {
	t.Helper()
	cfg, _, err := config.Parse(app.Kinds(), "/etc/sallyport/sallyport.yaml", []byte(src), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDefault(t *testing.T) {
	c := config.Default(app.Kinds())
	if c.Listen.Gateway != "127.0.0.1:8470" || c.Drain != 30*time.Second || c.Limits.HeaderBytes != 64<<10 ||
		c.Log.Format != "text" {
		t.Errorf("%+v", c)
	}
	if c.Seal.KeyFile != "sallyport-data/seal.key" || c.Audit.File != "sallyport-data/audit.jsonl" {
		t.Errorf("seal %q, audit %q: want both in the data directory", c.Seal.KeyFile, c.Audit.File)
	}
	if len(c.Services) != 0 || c.TLS.Enabled() || c.Insecure {
		t.Errorf("%+v", c)
	}
}

func TestServiceIsComplete(t *testing.T) {
	c := parse(t, string(read(t, "testdata/valid-everything.yaml")))
	a := c.Services["a"]
	if a.Upstream.String() != "https://api.example.com:8443/v1" || a.CAFile != "/etc/sallyport/ca.pem" ||
		a.Limits.Body != 2<<30 {
		t.Errorf("%+v", a)
	}
	want := view{
		Kind: "header", Secret: secret.Ref{Store: "corp", Path: "a/b", Version: "3", Field: "key"},
		Header: "X-API-Key", Format: "Token {secret}",
	}
	if diff := cmp.Diff(want, of(a.Credential)); diff != "" {
		t.Errorf("credential (-want +got):\n%s", diff)
	}
	rules := []config.Rule{
		{Methods: []string{"GET"}, Path: "/v1/**"},
		{Methods: []string{"GET", "POST"}, Path: "/v1/files/*"},
		{Path: "/v1/models"},
	}
	if diff := cmp.Diff(rules, a.Allow); diff != "" {
		t.Errorf("allow (-want +got):\n%s", diff)
	}
	if !slices.Contains(a.AllowPrivate, netip.MustParsePrefix("fd12::1/128")) {
		t.Errorf("allow_private %v", a.AllowPrivate)
	}
	if b := c.Services["b"]; of(b.Credential).Format != "" || b.Timeouts.Dial != 10*time.Second ||
		b.Redirects != "refuse" || b.Test != nil {
		t.Errorf("%+v", b)
	}
	if q := of(c.Services["c"].Credential); q.Format != "{secret}" || q.Header != "" {
		t.Errorf("%+v", q)
	}
	if n8n := c.Tokens["n8n"]; n8n.Rotate.Push.N8N.Gate.Host != "gate:8470" ||
		c.Tokens["all"].Expires != 90*24*time.Hour {
		t.Errorf("%+v", n8n)
	}
	if c.Data != "/etc/sallyport/data" || c.Audit.File != "/etc/sallyport/data/log/audit.jsonl" ||
		c.Seal.KeyFile != "" {
		t.Errorf("data %q, audit %q, seal %q", c.Data, c.Audit.File, c.Seal.KeyFile)
	}
}

func TestPresetFillsWhatIsOpen(t *testing.T) {
	c := parse(t, `services:
  plain: {preset: anthropic, secret: ref+builtin://a}
  own:
    preset: anthropic
    secret: ref+builtin://a
    upstream: https://eu.example.com
    headers: {Anthropic-Version: "2099-01-01"}
    test: {path: /ping}
  kind:
    preset: anthropic
    credential: {kind: query, param: k, secret: ref+builtin://a}
  raw: {preset: discord, secret: ref+builtin://a}
  slash: {preset: gitlab, secret: ref+builtin://a, encoded_slash: false}
`)
	plain, own, kind := c.Services["plain"], c.Services["own"], c.Services["kind"]
	if plain.Upstream.String() != "https://api.anthropic.com" || of(plain.Credential).Header != "x-api-key" ||
		plain.Headers["anthropic-version"] == "" || plain.Test.Path != "/v1/models" || plain.Test.Method != "GET" {
		t.Errorf("%+v", plain)
	}
	if of(plain.Credential).Secret.Path != "a" || !plain.Secret.IsZero() {
		t.Errorf("the secret stands at %+v", plain.Credential)
	}
	if own.Upstream.Host != "eu.example.com" || len(own.Headers) != 1 || own.Test.Path != "/ping" {
		t.Errorf("%+v", own)
	}
	if of(kind.Credential).Header != "" || of(kind.Credential).Param != "k" {
		t.Errorf("another kind takes nothing from the preset's credential: %+v", kind.Credential)
	}
	if f := of(c.Services["raw"].Credential).Format; f != "Bot {secret}" {
		t.Errorf("format %q", f)
	}
	if c.Services["slash"].EncodedSlash {
		t.Error("encoded_slash: false is overridden by the preset")
	}
}

func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sallyport.yaml")
}

func TestLoadDropIns(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, map[string]string{
		"sallyport.yaml":       "services:\n  a: {preset: openai, secret: ref+builtin://a}\n",
		"services.d/10-b.yaml": "services:\n  b: {preset: github, secret: ref+builtin://b}\n",
		"services.d/20-t.yaml": "tokens:\n  t: {services: [a, b]}\n",
		"services.d/.swp.yaml": "nonsense: [",
		"services.d/notes.txt": "not read",
		"services.d/old.yml":   "services: {}\n",
	})
	cfg, warns, err := config.Load(app.Kinds(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.ServiceNames(); !cmp.Equal(got, []string{"a", "b"}) || !cmp.Equal(cfg.TokenNames(), []string{"t"}) {
		t.Errorf("services %q, tokens %q", got, cfg.TokenNames())
	}
	if len(warns) != 1 || !strings.Contains(warns[0].File, "old.yml") {
		t.Errorf("warnings %v", warns)
	}
	want := []string{
		path, filepath.Join(dir, "services.d"), filepath.Join(dir, "services.d/10-b.yaml"),
		filepath.Join(dir, "services.d/20-t.yaml"),
	}
	if diff := cmp.Diff(want, cfg.Files()); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLoadCollectsOverFiles(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, map[string]string{
		"sallyport.yaml":     "services:\n  a: {preset: openai, secret: ref+builtin://a}\n  c: {preset: openai}\n",
		"services.d/1.yaml":  "services:\n  a: {preset: github, secret: ref+builtin://b}\n",
		"services.d/2.yaml":  "lisen: {}\nlisten: {gateway: \":1\"}\nopenai: {preset: openai}\nservcies: {}\n",
		"services.d/3.yaml":  "- a\n",
		"services.d/4.yaml":  "",
		"services.d/5.yaml":  "services:\n  z: {upstream: https://z.example.com, ca_file: missing.pem, secret: ref+builtin://z}\n",
		"services.d/sub/6.y": "",
	})
	_, _, err := config.Load(app.Kinds(), path)
	if err == nil {
		t.Fatal("want errors")
	}
	got := strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
	golden(t, "testdata/dropins.golden", got)
}

func TestLoadReadsWhatIsNamed(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, map[string]string{
		"sallyport.yaml": "tls: {cert_file: bad.pem, key_file: bad.pem}\ndatabase_file: db\nservices:\n" +
			"  a: {upstream: https://a.example.com, ca_file: missing.pem, secret: ref+builtin://a}\n" +
			"  b: {upstream: https://b.example.com, ca_file: bad.pem, secret: ref+builtin://b}\n",
		"services.d/url.yaml": "services:\n  c: {upstream: https://c.example.com, ca_file: \"https://u:" + canary + "@host/\", secret: ref+builtin://c}\n",
		"bad.pem":             canary, "db": "mysql://" + canary,
	})
	_, _, err := config.Load(app.Kinds(), path)
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Fatalf("got %v", err)
	}
	golden(t, "testdata/files.golden", strings.ReplaceAll(err.Error(), dir+"/", "")+"\n")
}

func TestLoadWithoutFile(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg, warns, err := config.Load(app.Kinds(), "")
	if err != nil || len(warns) > 0 || len(cfg.Services) > 0 {
		t.Errorf("Load of nothing: %v, %v", warns, err)
	}
	var list config.Errors
	if _, _, err := config.Load(app.Kinds(), "nope.yaml"); !errors.As(err, &list) || list[0].File != "nope.yaml" ||
		list[0].Hint == "" {
		t.Errorf("Load of a missing file: %v", err)
	}
	if _, _, err := config.Load(app.Kinds(), "."); err == nil {
		t.Error("a folder loads")
	}
}

func TestBounds(t *testing.T) {
	for name, src := range map[string]string{
		"bytes": strings.Repeat("# "+strings.Repeat("x", 1000)+"\n", 5000),
		"lines": strings.Repeat("\n", 30_000),
		"line":  "data: " + strings.Repeat("x", 20_000),
		"flow":  "data: " + strings.Repeat("{a: ", 5_000),
		"dash":  strings.Repeat("- ", 5_000),
		"tags":  "data: " + strings.Repeat("! ", 5_000),
	} {
		if _, _, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte(src), nil); err == nil {
			t.Errorf("%s: no error", name)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: %.300s…", name, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	c, _, err := config.Parse(app.Kinds(), "sallyport.yaml",
		[]byte("drain: 5s\nservices:\n  gh:\n    preset: github\n    secret: ref+builtin://gh\n    allow: [\"GET "+
			"/user\", \"GET /repos/**\"]\n    limits: {rate: 120/m}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Override("data", "/srv/sp", "--data flag"); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, o := range config.Origins(c) {
		b.WriteString(o.Key + " = " + o.Value + " (" + o.From + ")\n")
	}
	golden(t, "testdata/origins.golden", b.String())
}

func TestOverride(t *testing.T) {
	c := config.Default(app.Kinds())
	for _, step := range []struct{ key, value, want string }{
		{"data", "/srv/sp", ""},
		{"listen.gateway", "127.0.0.1:0", ""},
		{"seal.key_env", "KEY", ""},
		{"log.level", "loud", "--x: log.level: \"loud\" is not allowed: allowed: debug, info, warn, error"},
		{"nope", "1", "setting \"nope\" by --x: no such single value in the configuration"},
		{"listen", "1", "setting \"listen\" by --x: no such single value in the configuration"},
		{"listen.admin", "0.0.0.0:1", "--x: listen.admin is beyond loopback and there is no TLS: set tls, or insecure: true where the network itself is trusted"},
	} {
		err := c.Override(step.key, step.value, "--x")
		if got := ""; err != nil {
			got = err.Error()
			if got != step.want {
				t.Errorf("Override(%s) = %s, want %s", step.key, got, step.want)
			}
		} else if step.want != "" {
			t.Errorf("Override(%s): no error, want %s", step.key, step.want)
		}
	}
	if c.Seal.KeyFile != "" || c.Audit.File != "/srv/sp/audit.jsonl" || c.Listen.Gateway != "127.0.0.1:0" {
		t.Errorf("%+v", c)
	}
}

func TestOriginsHideWhatLooksLikeASecret(t *testing.T) {
	c := parse(t, "services:\n  a:\n    upstream: https://a.example.com\n    headers: {X-Tenant: "+canary+
		"}\n    credential: {kind: bearer, secret: ref+builtin://a, format: \""+canary+" {secret}\"}\n")
	for _, o := range config.Origins(c) {
		if strings.Contains(o.Value, canary) {
			t.Errorf("%s = %s", o.Key, o.Value)
		}
	}
}

func TestByteOrderMarkAndCRLF(t *testing.T) {
	c := parse(t,
		"\ufeffdrain: 5s\r\nservices:\r\n  openai:\r\n    preset: openai\r\n    secret: ref+builtin://openai\r\n")
	if c.Drain != 5*time.Second || of(c.Services["openai"].Credential).Secret.Path != "openai" {
		t.Errorf("%+v", c)
	}
}

func TestManyServices(t *testing.T) {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := range 2000 {
		fmt.Fprintf(&b,
			"  s%d:\n    upstream: https://api%d.example.com\n    secret: ref+builtin://s%d\n    allow: [\"GET "+
				"/**\"]\n", i, i, i)
	}
	if c := parse(t, b.String()); len(c.Services) != 2000 {
		t.Errorf("got %d services", len(c.Services))
	}
}

func TestDatabaseURL(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, map[string]string{
		"sallyport.yaml": "database_file: db\n",
		"db":             "postgres://u:" + canary + "@db/sallyport\n",
	})
	c, _, err := config.Load(app.Kinds(), path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.DatabaseURL(os.ReadFile); err != nil || got != "postgres://u:"+canary+"@db/sallyport" {
		t.Errorf("DatabaseURL: %v", err)
	}
	for _, o := range config.Origins(c) {
		if strings.Contains(o.Value, canary) {
			t.Errorf("%s shows the password", o.Key)
		}
	}
}

package install_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/install"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/nomadfake"
)

// env is a lookup in NAME=VALUE pairs.
func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, pair := range pairs {
			if n, v, _ := strings.Cut(pair, "="); n == name {
				return v, true
			}
		}
		return "", false
	}
}

func openNomad(t *testing.T, o install.NomadOptions) install.Target {
	t.Helper()
	if o.Lookup == nil {
		o.Lookup = nothing
	}
	p, err := install.NewNomad(&o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const nomadToken = "t0ken-canary"

func TestNomad(t *testing.T) {
	server := nomadfake.New(t)
	server.Token = nomadToken
	server.Set("prod", "nomad/jobs/n8n", map[string]string{"db_password": "theirs"})
	p := openNomad(t,
		install.NomadOptions{Lookup: env("NOMAD_ADDR="+server.URL, "NOMAD_TOKEN="+nomadToken, "NOMAD_NAMESPACE=prod")})
	life(t, p, func(n string) string { return "n8n_encryption_key_v" + n })
	items := map[string]string{
		"db_password": "theirs", "n8n_encryption_key_v1": canary,
		"n8n_encryption_key_v2": "another-key-0123456789",
	}
	if diff := cmp.Diff(items, server.Items("prod", "nomad/jobs/n8n")); diff != "" {
		t.Error(diff)
	}
	r := run(t, p, canary)
	for _, part := range []string{
		`{{ with nomadVar "nomad/jobs/n8n" }}{{ .n8n_encryption_key_v1 }}{{ end }}`,
		`N8N_ENCRYPTION_KEY_FILE = "${NOMAD_SECRETS_DIR}/n8n_encryption_key"`,
	} {
		if !strings.Contains(r.Snippet, part) {
			t.Errorf("no %q in %s", part, r.Snippet)
		}
	}
	for _, request := range server.Requests() {
		if strings.Contains(request, nomadToken) || strings.Contains(request, "cAn4ry") {
			t.Errorf("a secret stands in the address: %s", request)
		}
	}
}

// TestNomadMeanwhile is someone else who writes the variable between our reading and our writing: both are heard.
func TestNomadMeanwhile(t *testing.T) {
	server := nomadfake.New(t)
	others := 3
	server.Before = func(r *http.Request) {
		if r.Method == http.MethodPut && others > 0 {
			others--
			items := server.Items("default", "n8n")
			if items == nil {
				items = map[string]string{}
			}
			items["n8n_encryption_key_v"+string(rune('3'-others))] = "theirs"
			server.Set("default", "n8n", items)
		}
	}
	p := openNomad(t, install.NomadOptions{Address: server.URL, Path: "n8n"})
	want(t, run(t, p, canary), "n8n_encryption_key_v4", install.Created, true)
	items := server.Items("default", "n8n")
	if len(items) != 4 || items["n8n_encryption_key_v1"] != "theirs" {
		t.Errorf("%d items", len(items))
	}
}

func TestNomadFailure(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(s *nomadfake.Server)
		is   error
		exit fault.Exit
		hint string
	}{
		"no token": {func(s *nomadfake.Server) {
			s.Token = nomadToken
		}, secret.ErrDenied, fault.ExitError, `path "nomad/jobs/n8n" { capabilities = ["read", "write"] }`},
		"broken": {func(s *nomadfake.Server) {
			s.Status = http.StatusInternalServerError
		}, secret.ErrUnavailable, fault.ExitStore, "log of Nomad's servers"},
		"elsewhere": {func(s *nomadfake.Server) { s.Status = http.StatusFound }, nil, fault.ExitError, "namespace"},
		"full": {func(s *nomadfake.Server) {
			s.Set("default", "nomad/jobs/n8n", map[string]string{"big": strings.Repeat("x", nomadfake.MaxItems-10)})
		}, nil, fault.ExitError, "64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			server := nomadfake.New(t)
			c.set(server)
			_, err := install.Run(t.Context(), openNomad(t, install.NomadOptions{Address: server.URL}), value(canary))
			if err == nil || (c.is != nil && !errors.Is(err, c.is)) || fault.ExitOf(err) != c.exit ||
				!strings.Contains(fault.HintOf(err), c.hint) {
				t.Fatalf("got %v (exit %d, hint %q)", err, fault.ExitOf(err), fault.HintOf(err))
			}
			silent(t, err.Error())
		})
	}
	_, err := install.Run(t.Context(), openNomad(t, install.NomadOptions{Address: "http://127.0.0.1:1"}), value(canary))
	if !errors.Is(err, secret.ErrUnavailable) || fault.ExitOf(err) != fault.ExitStore {
		t.Errorf("nobody there: %v", err)
	}
	for _, address := range []string{
		"nomad:4646", "http://nomad.example:4646", "https://user:pw@nomad.example",
		"ftp://x", "http://[::2]:4646",
	} {
		_, err := install.NewNomad(&install.NomadOptions{Address: address, Lookup: nothing})
		if fault.ExitOf(err) != fault.ExitUsage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := install.NewNomad(&install.NomadOptions{
		Path:   "a.b",
		Lookup: nothing,
	}); fault.ExitOf(err) != fault.ExitUsage {
		t.Errorf("a path with a dot: %v", err)
	}
}

package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/testkit/archive"
)

// TestSchema holds the schema against the same cases as the decoder: it lets through what loads, and refuses what is
// wrong in its shape.
func TestSchema(t *testing.T) {
	s := archive.Schema(t, app.Kinds())
	for _, name := range cases(t) {
		kind, _, _ := strings.Cut(name, "-")
		if kind == "yaml" || kind == "check" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			err := s.Validate(archive.AsJSON(t, read(t, filepath.Join("testdata", name+".yaml"))))
			if wantOK := kind == "valid" || kind == "warn"; wantOK != (err == nil) {
				t.Errorf("Validate = %v", err)
			}
		})
	}
	if err := s.Validate(archive.AsJSON(t, config.Example())); err != nil {
		t.Errorf("the example: %v", err)
	}
}

// TestSchemaByKindOfCredential: an editor refuses a key that goes with another kind of credential; none has to be
// there, since a preset may bring it, and with it the kind.
func TestSchemaByKindOfCredential(t *testing.T) {
	s := archive.Schema(t, app.Kinds())
	for text, want := range map[string]bool{
		"{kind: header, header: X-Key, secret: ref+builtin://a}":         true,
		"{kind: header, param: key, secret: ref+builtin://a}":            false,
		"{kind: bearer, secret: ref+builtin://a, token_url: /t}":         false,
		"{kind: bearer, secret: abc}":                                    false,
		"{kind: github_app, app_id: 1}":                                  true,
		"{kind: exchange, request: {url: /login, jsno: {}}}":             false,
		"{kind: jwt_bearer, place: {kind: cookie, cookie: session}}":     true,
		"{kind: none, secret: ref+builtin://a}":                          false,
		"{kind: magic}":                                                  false,
		"{client_id: a, client_secret: ref+builtin://a, inputs: {a: b}}": true,
		"{secret: ref+builtin://a, tokn_url: x}":                         false,
	} {
		for _, service := range []string{"credential: " + text, "credentials: [" + text + "]"} {
			if err := s.Validate(archive.AsJSON(t, []byte("services: {one: {"+service+"}}"))); want != (err == nil) {
				t.Errorf("%s: %v", service, err)
			}
		}
	}
}

// TestSchemaByKind: an editor refuses a key that goes with another kind of store, and misses one that has to be there.
func TestSchemaByKind(t *testing.T) {
	s := archive.Schema(t, app.Kinds())
	const auth = "auth: {token_file: t}"
	for text, want := range map[string]bool{
		"{kind: vault, address: https://vault.internal, " + auth + "}":                    true,
		"{kind: vault, address: https://vault.internal, " + auth + ", region: eu-west-1}": false,
		"{kind: vault, address: https://vault.internal}":                                  false,
		"{kind: vault, " + auth + "}":                                                     false,
		"{kind: awssm, region: eu-west-1}":                                                true,
		"{kind: awssm, dir: /run/secrets}":                                                false,
		"{kind: env, prefix: N8N_}":                                                       true,
		"{kind: env, refresh: 1m}":                                                        false,
		"{kind: builtin, max_stale: 1h}":                                                  true,
		"{kind: builtin, refresh: 1m}":                                                    false,
		"{kind: file, dir: /run/x, max_stale: 1h}":                                        true,
		"{kind: conjur}":                                                                  false,
		"{dir: /run/secrets}":                                                             false,
		"{kind: exec, command: [op, \"{path}\"], timeout: 5s}":                            true,
	} {
		if err := s.Validate(archive.AsJSON(t, []byte("stores: {one: "+text+"}"))); want != (err == nil) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/shelf"
	"sallyport/internal/testkit/stamp"
)

// TestNewKindInCommands: a kind that is added to the list, and to nothing beside, is in the schema, its page is
// written, its stores are checked, and a program that is started does not get what they are entered with.
func TestNewKindInCommands(t *testing.T) {
	kinds := app.Kinds()
	kinds.Stores = append(kinds.Stores, shelf.Kind())
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	command := func(store string, args ...string) (string, fault.Exit) {
		t.Helper()
		if err := os.WriteFile(file, []byte("stores: {mine: {kind: shelf, "+store+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		exit := run(t.Context(), append([]string{"--config", file}, args...),
			Streams{In: strings.NewReader(""), Out: &out, Err: &out}, kinds)
		return out.String(), exit
	}

	if said, exit := command("label: top", "config", "check"); exit != 0 {
		t.Errorf("config check ends with %d: %s", exit, said)
	}
	if said, _ := command("label: top", "config", "show"); !strings.Contains(said, "stores.mine.label") {
		t.Errorf("config show: %s", said)
	}
	for store, want := range map[string]string{
		"label: a/b":                `label of store "mine" has a slash in it: leave it out`,
		"board: {height: 3}":        `store "mine" of kind shelf has no label: write label: TEXT`,
		"label: top, region: x":     `region of store "mine" does not go with kind shelf: region goes with awssm; kind shelf takes label, board, refresh, max_stale`,
		"label: top, lable: x":      `unknown key "lable" in store "mine": did you mean "label"?`,
		"board: {height: 10}":       `board.height of store "mine": 10 is too large: at most 9`,
		"label: top, board: {a: 1}": `unknown key "a" in board of store "mine"`,
	} {
		if said, exit := command(store, "config", "check"); exit == 0 || !strings.Contains(said, want) {
			t.Errorf("config check of %s ends with %d, and without %q: %s", store, exit, want, said)
		}
	}
	if said, exit := command("label: top", "config", "schema"); exit != 0 || !json.Valid([]byte(said)) ||
		!strings.Contains(said, `"const": "shelf"`) {
		t.Errorf("config schema ends with %d, without the kind", exit)
	}
	dir := t.TempDir()
	said, exit := command("label: top", "reference", "stores", dir)
	page, err := os.ReadFile(filepath.Join(dir, "shelf.md"))
	if err != nil || !strings.HasSuffix(string(page), "\nFor tests.\n") {
		t.Errorf("reference stores ends with %d: %s\n%s, %v", exit, said, page, err)
	}
	t.Setenv("SHELF_KEY", "canary")
	if said, exit := command("label: top", "run", "--supervise", "--", "env"); exit != 0 ||
		strings.Contains(said, "SHELF_KEY=") || !strings.Contains(said, "not handed to env: ") {
		t.Errorf("run ends with %d: %s", exit, said)
	}
}

// TestNewCredentialKindInCommands: a kind of credential that is added to the list, and to nothing beside, is in the
// schema and in the page, and its credentials are checked.
func TestNewCredentialKindInCommands(t *testing.T) {
	kinds := app.Kinds()
	kinds.Credentials = append(kinds.Credentials, stamp.Kind())
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	command := func(credential string, args ...string) (string, fault.Exit) {
		t.Helper()
		text := "services: {mine: {upstream: \"https://api.example.com\", credential: {" + credential + "}}}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		exit := run(t.Context(), append([]string{"--config", file}, args...),
			Streams{In: strings.NewReader(""), Out: &out, Err: &out}, kinds)
		return out.String(), exit
	}
	const whole = "kind: stamp, stamp: top, secret: ref+builtin://one"

	if said, exit := command(whole, "config", "check"); exit != 0 {
		t.Errorf("config check ends with %d: %s", exit, said)
	}
	if said, _ := command(whole, "config", "show"); !strings.Contains(said, "services.mine.credential.stamp") {
		t.Errorf("config show: %s", said)
	}
	if said, exit := command(whole, "service", "list"); exit != 0 || !strings.Contains(said, "stamp Authorization") {
		t.Errorf("service list ends with %d: %s", exit, said)
	}
	for credential, want := range map[string]string{
		whole +
			", ink: {colour: green}": `ink.colour of service "mine": "green" is not allowed`,
		whole +
			", region: x": `credential.region of service "mine" does not go with kind stamp: region goes with aws_sigv4; kind stamp takes secret, stamp, ink, inputs`,
		"kind: stamp, secret: ref+builtin://one":                 `service "mine" has a credential of kind stamp without stamp: write stamp: TEXT`,
		"kind: stamp, stamp: a/b, secret: ref+builtin://one":     `credential.stamp of service "mine" has a slash in it: leave it out`,
		"kind: bearer, stamp: top, secret: ref+builtin://one":    `credential.stamp of service "mine" does not go with kind bearer: stamp goes with stamp; kind bearer takes secret, format`,
		"kind: stamp, stamp: \"{x}\", secret: ref+builtin://one": `credential.stamp of service "mine" has {x} in it, which stands for nothing`,
		"ink: {}": `service "mine" has a credential without kind: write kind: stamp`,
	} {
		if said, exit := command(credential, "config", "check"); exit == 0 || !strings.Contains(said, want) {
			t.Errorf("config check of %s ends with %d, and without %q: %s", credential, exit, want, said)
		}
	}
	if said, exit := command(whole, "config", "schema"); exit != 0 || !json.Valid([]byte(said)) ||
		!strings.Contains(said, `"const": "stamp"`) {
		t.Errorf("config schema ends with %d, without the kind", exit)
	}
	if said, exit := command(whole, "reference", "credentials"); exit != 0 ||
		!strings.Contains(said, "\n### stamp\n\nFor tests.\n") {
		t.Errorf("reference credentials ends with %d, without the kind", exit)
	}
}

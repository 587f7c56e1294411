package architecture_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/architecture"
)

// TestTheTreeKeepsToThePlan asks the go command for every package of the module and what it imports.
func TestTheTreeKeepsToThePlan(t *testing.T) {
	packages := list(t)
	if len(packages) < 5 {
		t.Fatalf("go list found %d packages; the check would pass over an empty house", len(packages))
	}
	for _, broken := range architecture.Check(packages) {
		t.Error(broken)
	}
}

// TestEveryRowIsAFolder: the tables name no room that is not built, so that they can be read as the tree.
func TestEveryRowIsAFolder(t *testing.T) {
	rows := architecture.Rows()
	if len(rows) < 25 {
		t.Fatalf("found %d rows", len(rows))
	}
	for _, row := range rows {
		inside, errInside := os.Stat(filepath.Join("..", row))
		outside, errOutside := os.Stat(filepath.Join("../..", row))
		if (errInside != nil || !inside.IsDir()) && (errOutside != nil || !outside.IsDir()) {
			t.Errorf("internal/architecture has a row for %q, and there is no such folder: take it out", row)
		}
	}
}

// TestCheck holds the checker itself to a made-up house: each import is fine, or breaks the rule that is named.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		from, to string
		want     string // a part of the only complaint; "" for none
	}{
		"main to cli":                        {"sallyport/cmd/sallyport", "sallyport/internal/cli", ""},
		"app names an adapter":               {"sallyport/internal/app", "sallyport/internal/secret/vault", ""},
		"app names a kind of credential":     {"sallyport/internal/app", "sallyport/internal/boundary/credential/hmac", ""},
		"a kind of credential and its port":  {"sallyport/internal/boundary/credential/hmac", "sallyport/internal/boundary/credential/sign", ""},
		"a kind of credential and another":   {"sallyport/internal/boundary/credential/hmac", "sallyport/internal/boundary/credential/basic", "imports its port"},
		"a kind of credential is named":      {"sallyport/internal/boundary/service", "sallyport/internal/boundary/credential/hmac", "only internal/app"},
		"configuration and a kind":           {"sallyport/internal/config", "sallyport/internal/boundary/credential/hmac", "only internal/app"},
		"app names an orchestrator":          {"sallyport/internal/app", "sallyport/internal/fleet/compose", ""},
		"down across floors":                 {"sallyport/internal/monitor", "sallyport/internal/fault", ""},
		"a neighbour and the secrets":        {"sallyport/internal/n8n/api", "sallyport/internal/secret", ""},
		"an orchestrator and the secrets":    {"sallyport/internal/fleet/compose", "sallyport/internal/secret", ""},
		"a neighbour and the sealing":        {"sallyport/internal/config", "sallyport/internal/secret/seal", "side by side"},
		"within a room":                      {"sallyport/internal/boundary/gateway", "sallyport/internal/boundary/token", ""},
		"an adapter and its port":            {"sallyport/internal/secret/vault", "sallyport/internal/secret", ""},
		"an adapter and fault":               {"sallyport/internal/fleet/nomad", "sallyport/internal/fault", ""},
		"an adapter and its own part":        {"sallyport/internal/secret/kubernetes", "sallyport/internal/secret/kubernetes/wire", ""},
		"builtin and the database":           {"sallyport/internal/secret/builtin", "sallyport/internal/database", ""},
		"the sealing and the database":       {"sallyport/internal/secret/seal", "sallyport/internal/database", ""},
		"a neighbour and the database":       {"sallyport/internal/config", "sallyport/internal/database", "side by side"},
		"the standard library":               {"sallyport/internal/fault", "net/http", ""},
		"another module":                     {"sallyport/internal/config", "github.com/goccy/go-yaml", ""},
		"testkit may know the product":       {"sallyport/internal/testkit", "sallyport/internal/secret", ""},
		"sallyport/bench may have parts":     {"sallyport/bench", "sallyport/bench/load", ""},
		"up":                                 {"sallyport/internal/boundary", "sallyport/internal/app", "imports run downward"},
		"up from the bottom":                 {"sallyport/internal/fault", "sallyport/internal/secret", "imports run downward"},
		"up within the wings":                {"sallyport/internal/audit", "sallyport/internal/boundary/token", "imports run downward"},
		"up to the command line":             {"sallyport/internal/app", "sallyport/internal/cli", "imports run downward"},
		"side by side":                       {"sallyport/internal/rotation", "sallyport/internal/masterkey", "side by side"},
		"cli names an adapter":               {"sallyport/internal/cli", "sallyport/internal/secret/builtin", "only internal/app"},
		"boundary names an adapter":          {"sallyport/internal/boundary", "sallyport/internal/secret/vault", "only internal/app"},
		"the port names an adapter":          {"sallyport/internal/secret", "sallyport/internal/secret/vault", "only internal/app"},
		"an adapter names another":           {"sallyport/internal/secret/vault", "sallyport/internal/secret/file", "nothing beside it"},
		"an adapter and the database":        {"sallyport/internal/secret/vault", "sallyport/internal/database", "nothing beside it"},
		"an adapter and the configuration":   {"sallyport/internal/fleet/compose", "sallyport/internal/config", "nothing beside it"},
		"an orchestrator and the audit log":  {"sallyport/internal/fleet/compose", "sallyport/internal/audit", "nothing beside it"},
		"a product package and testkit":      {"sallyport/internal/app", "sallyport/internal/testkit", "for tests"},
		"a store and the conformance suite":  {"sallyport/internal/secret/file", "sallyport/internal/secret/storetest", "for tests"},
		"a part of testkit and testkit":      {"sallyport/internal/testkit/vault", "sallyport/internal/testkit", ""},
		"a store and a part of testkit":      {"sallyport/internal/secret/vault", "sallyport/internal/testkit/vault", "for tests"},
		"a tool and the product":             {"sallyport/tools/testcount", "sallyport/internal/fault", "from outside"},
		"the benchmark and the product":      {"sallyport/bench/load", "sallyport/internal/boundary", "from outside"},
		"a room that is not in the plan":     {"sallyport/internal/helpers", "strings", "stands on no floor"},
		"a folder that is not in the plan":   {"sallyport/pkg/sallyport", "strings", "stands on no floor"},
		"a prefix is not the room of a name": {"sallyport/internal/secretary", "strings", "stands on no floor"},
	} {
		t.Run(name, func(t *testing.T) {
			got := architecture.Check([]architecture.Package{{ImportPath: c.from, Imports: []string{"fmt", c.to}}})
			switch {
			case c.want == "" && len(got) > 0:
				t.Errorf("unexpected complaints: %q", got)
			case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
				t.Errorf("got %q, want one complaint with %q", got, c.want)
			}
		})
	}
}

func TestCheckSortsAndNamesBothSides(t *testing.T) {
	got := architecture.Check([]architecture.Package{
		{ImportPath: "sallyport/internal/fault", Imports: []string{"sallyport/internal/cli"}},
		{ImportPath: "sallyport/internal/audit", Imports: []string{"sallyport/internal/app"}},
	})
	rule := ": imports run downward; let the lower package declare the interface it needs, and internal/app fill it"
	want := []string{
		"sallyport/internal/audit imports sallyport/internal/app" + rule,
		"sallyport/internal/fault imports sallyport/internal/cli" + rule,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// list returns the packages of the module with the imports of their non-test files.
func list(t *testing.T) []architecture.Package {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,Dir", "sallyport/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	var packages []architecture.Package
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			architecture.Package
			Dir string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("reading the list of packages: %v", err)
		}
		lookAt(t, p.Dir)
		packages = append(packages, p.Package)
	}
}

// lookAt makes the result of this test depend on the files of dir: the go command reuses a result as long as the files
// that the test itself looked at are the same, and it does not see what "go list" looks at.
func lookAt(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, dir) {
		if _, err := os.Stat(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

package architecture_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/architecture"
)

var update = flag.Bool("update", false, "write the generated part of .golangci.yml")

// TestLinterKnowsThePlan: the rules that an editor shows are those of the table.
func TestLinterKnowsThePlan(t *testing.T) {
	const file, begin, end = "../../.golangci.yml", "        # begin generated: the table in internal/architecture\n",
		"        # end generated\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	rules, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no generated part", file)
	}
	want := architecture.Depguard()
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("%s is not as the table says; go generate ./internal/architecture writes it:\n%s", file, diff)
	}
}

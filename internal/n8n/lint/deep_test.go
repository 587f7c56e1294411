package lint

import (
	"strings"
	"testing"
)

// TestDeep: a text that no parser's stack can hold is no YAML, and ends nothing.
func TestDeep(t *testing.T) {
	for _, one := range []string{"[", "{", "{a: ", `{"a":[`, "- ", "? ", "!a ", "&a "} {
		if _, ok := fromYAML([]byte(strings.Repeat(one, 200_000/len(one)))); ok && strings.ContainsAny(one, "[{") {
			t.Errorf("%q was read", one)
		}
	}
}

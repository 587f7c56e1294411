package cli

import (
	"slices"
	"testing"
)

// TestOfferedWords: a name that a database holds is offered only where a shell takes it for one argument and for
// nothing else.
func TestOfferedWords(t *testing.T) {
	good := []string{"prod/stripe", "n8n", "a_b.c:d@e,f+g=h%20", "ключ"}
	bad := []string{
		"$(touch${IFS}x)a", "$(touch${IFS}x)b", "`id`", "a;id", "a|id", "a&id", "a>b", "a<b", "a'b", `a"b`, `a\b`, "a*", "a?", "[a]", "{a,b}", "~root", "!!", "#a", "a b", "a\tb",
		"a\nb", "a\x1b[2J", "a\u202eb", "(a)", "--config=x", "-h",
	}
	got := new(env).offer(t.Context(), fixed(slices.Concat(bad, good)...), "")
	if !slices.Equal(got, good) {
		t.Errorf("got %q, want %q", got, good)
	}
	if got := new(env).offer(t.Context(), fixed("-h", "ok"), "x,"); !slices.Equal(got, []string{"x,ok"}) {
		t.Errorf("behind a comma: got %q", got)
	}
}

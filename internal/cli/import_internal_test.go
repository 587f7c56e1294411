package cli

import (
	"testing"

	"sallyport/internal/secret"
)

// Stores that keep JSON give an object back in their own writing: that is no loss. Everything else is.
func TestSameSecret(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"sk-1", "sk-1", true},
		{"sk-1", "sk-2", false},
		{`{"b": 1, "a": "x"}`, `{"a":"x","b":1}`, true},
		{`{"a":"x"}`, `{"a":"y"}`, false},
		{`{"a":"x"}`, `{"a":"x","b":1}`, false},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, false},
		{`{"a":1}`, `{"a":1} `, true},
		{`{"a":1}`, `{"a":1}{"a":1}`, false},
		{`["a"]`, `[ "a" ]`, false},
		{`null`, `null `, false},
	} {
		if got := same(secret.NewValue([]byte(c.a)), secret.NewValue([]byte(c.b))); got != c.want {
			t.Errorf("same(%q, %q) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}

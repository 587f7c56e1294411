package cli

import (
	"slices"
	"testing"

	"sallyport/internal/n8n/export"
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

// Two credentials under one name would be one secret, and the other one lost.
func TestNamesOfCredentials(t *testing.T) {
	var list []export.Credential
	for _, c := range [][2]string{
		{"1", "a"},
		{"2", "a"},
		{"3", "a-1"},
		{"4", "A-2"},
		{"5", "CRM"},
		{"6", "crm"},
		{"b-7", "x"},
		{"7", "x-b"},
		{"8", "x"},
		{"", "!"},
		{"", "?"},
	} {
		list = append(list, export.Credential{ID: c[0], Name: c[1]})
	}
	want := []string{
		"a-1-1", "a-2-2", "a-1", "A-2", "CRM-5", "crm-6", "x-b-7", "x-b", "x-8",
		"credential", "credential-credential",
	}
	if got := namesOf(list); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

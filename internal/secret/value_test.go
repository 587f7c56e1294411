package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"sallyport/internal/secret"
)

const canary = "canary-s3cret"

// holders are the ways in which a value may sit in something that is printed.
func holders() map[string]any {
	v := secret.NewValue([]byte(canary))
	type exported struct{ V secret.Value }
	type hidden struct{ v secret.Value }
	type deep struct {
		h *hidden
		m map[string]hidden
		s []hidden
		a any
	}
	return map[string]any{
		"value": v, "pointer": &v, "exported": exported{v}, "hidden": hidden{v}, "pointer to hidden": &hidden{v}, "slice": []secret.Value{v}, "map": map[string]secret.Value{"k": v},
		"deep": deep{h: &hidden{v}, m: map[string]hidden{"k": {v}}, s: []hidden{{v}}, a: hidden{v}}, "error": fmt.Errorf("x: %v, %w", v, errors.New("y")),
	}
}

// TestValueNeverPrints tries every verb on a value wherever it sits, in an unexported field too, where fmt can't call
// its methods.
func TestValueNeverPrints(t *testing.T) {
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]")
	for name, holder := range holders() {
		for _, verb := range "vsqxXdTobcUeEfFgGpwt" {
			for _, flags := range []string{"", "+", "#", "0", " ", "-20", ".3", "# "} {
				wantHidden(t, name+" %"+flags+string(verb), fmt.Sprintf("%"+flags+string(verb), holder), decimal)
			}
		}
		wantHidden(t, name+" Sprint", fmt.Sprint(holder), decimal)
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("x", "v", holder, slog.Group("g", "v", holder))
		}
		wantHidden(t, name+" slog", log.String(), decimal)
		for format, marshal := range map[string]func(any) ([]byte, error){
			"JSON": json.Marshal,
			"YAML": func(v any) ([]byte, error) {
				return yaml.Marshal(v)
			}, "XML": xml.Marshal,
		} {
			if out, err := marshal(holder); err == nil {
				wantHidden(t, name+" "+format, string(out), decimal)
			}
		}
	}
}

func wantHidden(t *testing.T, how, out, decimal string) {
	t.Helper()
	for form, text := range map[string]string{
		"as text": canary, "as numbers": decimal, "as hex": fmt.Sprintf("%x", canary), "as upper hex": fmt.Sprintf("%X", canary), "as spaced hex": fmt.Sprintf("% x", canary),
		"as Go bytes": strings.Trim(fmt.Sprintf("%#v", []byte(canary)), "[]byte{}"), "as base64": "Y2FuYXJ5LXMzY3JldA",
	} {
		if strings.Contains(out, text) {
			t.Errorf("%s shows the secret %s: %s", how, form, out)
		}
	}
}

func TestValuePrintsAsRedacted(t *testing.T) {
	v := secret.NewValue([]byte(canary))
	for _, verb := range []string{"%v", "%s", "%q", "%x", "%#v", "%+v", "%d"} {
		if got := fmt.Sprintf(verb, v); got != "[redacted]" {
			t.Errorf("%s: got %q", verb, got)
		}
	}
	if out, err := json.Marshal(v); string(out) != `"[redacted]"` || err != nil {
		t.Errorf("JSON: got %s, %v", out, err)
	}
}

func TestValue(t *testing.T) {
	b := []byte(canary)
	v := secret.NewValue(b)
	b[0] = 'X'
	if string(v.Reveal()) != canary {
		t.Error("the value is not a copy")
	}
	var zero secret.Value
	if !zero.IsZero() || !secret.NewValue(nil).IsZero() || v.IsZero() || zero.Len() != 0 || v.Len() != len(canary) ||
		zero.Reveal() != nil {
		t.Error("zero is not told from a value")
	}
	if !v.Equal(secret.NewValue([]byte(canary))) || v.Equal(secret.NewValue([]byte("canary-s3creT"))) ||
		v.Equal(zero) || !zero.Equal(secret.NewValue(nil)) {
		t.Error("Equal is wrong")
	}
}

// TestSame: a store may write an object in another way, and a text not.
func TestSame(t *testing.T) {
	for _, tt := range []struct {
		one, other string
		same       bool
	}{
		{`{"user": "a", "password": "b<"}`, `{"password":"b\u003c","user":"a"}`, true},
		{`{"a": {"b": [1, 2.50]}}`, `{"a":{"b":[1,2.5]}}`, true},
		{`{"user": "a"}`, `{"user": "b"}`, false},
		{`{"user": "a"}`, `{"user": "a", "password": null}`, false},
		{`["a"]`, `[ "a" ]`, false},
		{`a`, `a`, true},
		{`a`, `a `, false},
		{`null`, ` null`, false},
		{``, ``, true},
	} {
		one, other := secret.NewValue([]byte(tt.one)), secret.NewValue([]byte(tt.other))
		if one.Same(other) != tt.same || other.Same(one) != tt.same {
			t.Errorf("%q and %q: the same is %v, want %v", tt.one, tt.other, !tt.same, tt.same)
		}
	}
}

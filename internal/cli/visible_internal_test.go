package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"text/tabwriter"
	"unicode/utf8"

	"sallyport/internal/masterkey/rekey"
)

// shown is what a visible writer makes of text that comes in the given pieces.
func shown(t *testing.T, pieces ...[]byte) string {
	t.Helper()
	var out bytes.Buffer
	v := &visible{to: &out}
	for _, p := range pieces {
		if n, err := v.Write(p); n != len(p) || err != nil {
			t.Fatalf("writing %q: %d, %v", p, n, err)
		}
	}
	v.end()
	return out.String()
}

func TestWhatCommandsATerminalIsShown(t *testing.T) {
	for in, want := range map[string]string{
		"a\tb\nc":                                "a\tb\nc",
		"Zürich 東京 ⚠\ufe0f":                      "Zürich 東京 ⚠\ufe0f",
		"\x1b[2J\x07\b\rx\x7f":                   `\u001b[2J\u0007\u0008\u000dx\u007f`,
		"\u009b31m\u0085":                        `\u009b31m\u0085`,
		"\x9b31m":                                "\ufffd31m",
		"a\u202eb\u2066c\u200e":                  `a\u202eb\u2066c\u200e`,
		"\u200b\u200d\u2060\ufeff\u00ad\u2028":   `\u200b\u200d\u2060\ufeff\u00ad\u2028`,
		"\u115f\u3164\u034f\U000e0041\U000e0100": `\u115f\u3164\u034f\udb40\udc41\udb40\udd00`,
		"cut off \xe2\x80":                       "cut off \ufffd\ufffd",
	} {
		if got := shown(t, []byte(in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestVisibleOverRandomInput: whatever comes, in pieces cut anywhere, nothing hostile gets through, and what JSON says
// stays.
func TestVisibleOverRandomInput(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		text := make([]rune, r.IntN(40))
		for i := range text {
			text[i] = []rune{
				rune(r.IntN(0x100)), rune(0x2000 + r.IntN(0x70)), rune(r.IntN(0x110000)), '\u061c',
				'\ufeff', '"', '\\', 0x1b,
			}[r.IntN(8)]
		}
		name := string(text)
		raw := []byte(name)
		if r.IntN(2) == 0 {
			raw = append(raw, byte(0x80+r.IntN(0x80)))
		}
		cut := r.IntN(len(raw) + 1)
		got := shown(t, raw[:cut], raw[cut:])
		if whole := shown(t, raw); got != whole {
			t.Fatalf("%q cut at %d: %q, whole: %q", raw, cut, got, whole)
		}
		if strings.ContainsFunc(strings.NewReplacer("\n", "", "\t", "").Replace(got), isHostile) ||
			!utf8.ValidString(got) {
			t.Fatalf("%q: %q", raw, got)
		}
		encoded, err := json.Marshal(map[string]string{name: name})
		if err != nil {
			t.Fatal(err)
		}
		var want, back map[string]string
		if err := errors.Join(json.Unmarshal(encoded, &want),
			json.Unmarshal([]byte(shown(t, encoded)), &back)); err != nil || !reflect.DeepEqual(back, want) {
			t.Fatalf("%q: %v: %q", encoded, err, back)
		}
	}
}

// TestARowIsOneRow: a name makes no rows and no columns of its own.
func TestARowIsOneRow(t *testing.T) {
	type kind string
	var out bytes.Buffer
	w := tabwriter.NewWriter(&visible{to: &out}, 0, 0, 2, ' ', 0)
	_, _ = cells(w, "%s\t%v\t%s\t%d\n", "a\nFORGED\tb\v\f", errors.New("x\ny"), kind("k\r"), 7)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := `a\u000aFORGED\u0009b\u000b\u000c  x\u000ay  k\u000d  7` + "\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestProgressEscapesThePlace(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out}
	p.show(rekey.Progress{Stage: "reading", Location: "a\x1b[2J\n\u202eb"})
	if want := "\r\x1b[Kreading a" + `\u001b[2J\u000a\u202eb`; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestCommandsPrintVisibly: text, JSON, notes and errors of every command go through the same two streams.
func TestCommandsPrintVisibly(t *testing.T) {
	const name = "no\x1b]0;x\x07such\u202e\u200b\u009b"
	for _, args := range [][]string{
		{name},
		{"serve", name},
		{"token", name},
		{"secret", "get", name},
		{"secret", "import", name},
		{"key", "verify", "--" + name},
		{"token", "issue", name, "--json"},
		{"key", "rekey", name},
		{"audit", "tail", "--since", name},
		{"--config", name, "config", "show"},
		{"service", "call", name},
		{"key", "fingerprint", name},
	} {
		var out, errs bytes.Buffer
		Main(t.Context(), append(args, "--data", t.TempDir()),
			Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		got := out.String() + errs.String()
		if strings.ContainsFunc(strings.NewReplacer("\n", "", "\t", "").Replace(got), isHostile) || got == "" {
			t.Errorf("%q: %q", args, got)
		}
	}
}

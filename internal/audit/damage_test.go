package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/audit"
)

// written makes a closed log of a few records.
func written(t *testing.T) audit.Options {
	t.Helper()
	o := testOptions(t)
	l := open(t, o)
	for range 5 {
		if err := l.Authorise(t.Context(), sample("req")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestATornLineIsCutOffAndRecorded(t *testing.T) {
	for name, torn := range map[string]string{
		"half a line": `{"seq":8,"time":"2026-01-0`,
		"zeros":       strings.Repeat("\x00", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			o := written(t)
			appendTo(t, o.Path, torn)
			if r := verify(t, o); r.OK || r.Torn != len(torn) {
				t.Errorf("before recovery: %+v", r)
			}
			open(t, o)
			r := mustHold(t, o)
			if r.Recovered != 1 {
				t.Errorf("recovered records: got %d, want 1", r.Recovered)
			}
			all := records(t, o.Path)
			if detail := all[len(all)-1].Event.Detail; !strings.Contains(detail, "SHA-256") {
				t.Errorf("detail of the recovered record: %q", detail)
			}
		})
	}
}

func TestATornCheckpointIsCutOff(t *testing.T) {
	o := written(t)
	appendTo(t, o.Path+".checkpoints", `{"checkpoint":3,`)
	open(t, o)
	if r := mustHold(t, o); r.Checkpoints != 3 {
		t.Errorf("checkpoints: got %d, want 3", r.Checkpoints)
	}
}

func TestADamagedLogIsNotContinued(t *testing.T) {
	lines := func(b []byte, from, to int) []byte { return b[endOfLine(b, from):endOfLine(b, to)] }
	for _, tt := range []struct {
		name   string
		damage func(log, checkpoints []byte) ([]byte, []byte)
	}{
		{"tail cut at a line", func(l, c []byte) ([]byte, []byte) { return lines(l, 0, 5), c }},
		{"tail cut in a line", func(l, c []byte) ([]byte, []byte) { return l[:len(l)-9], c }},
		{"emptied", func(_, c []byte) ([]byte, []byte) { return nil, c }},
		{"removed", func(_, c []byte) ([]byte, []byte) { return []byte("-"), c }},
		{"last record changed", func(l, c []byte) ([]byte, []byte) {
			l[len(l)-8] ^= 1
			return l, c
		}},
		{"garbage behind", func(l, c []byte) ([]byte, []byte) { return append(l, "{}\n"...), c }},
		{"last record twice", func(l, c []byte) ([]byte, []byte) { return append(l, lines(l, 6, 7)...), c }},
		{"checkpoints emptied", func(l, _ []byte) ([]byte, []byte) { return l, nil }},
		{"checkpoints removed", func(l, _ []byte) ([]byte, []byte) { return l, []byte("-") }},
		{"checkpoint removed", func(l, c []byte) ([]byte, []byte) { return l, nil }},
		{"checkpoint changed", func(l, c []byte) ([]byte, []byte) {
			return l, bytes.Replace(c, []byte(`"checkpoint":2`), []byte(`"checkpoint":3`), 1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := written(t)
			log, checkpoints := tt.damage(read(t, o.Path), read(t, o.Path+".checkpoints"))
			replace(t, o.Path, log)
			replace(t, o.Path+".checkpoints", checkpoints)

			_, err := audit.Open(t.Context(), o)
			if _, ok := errors.AsType[*audit.DamageError](err); !ok {
				t.Fatalf("opening it: got %v, want a DamageError", err)
			}
			if got := read(t, o.Path); !bytes.Equal(got, log) && string(log) != "-" {
				t.Errorf("a refused log was changed")
			}

			o.AcceptDamage = true
			l := open(t, o)
			if err := l.Authorise(t.Context(), sample("after")); err != nil {
				t.Fatal(err)
			}
			if got, want := kinds(t, o.Path), "opened recovered authorised"; got != want {
				t.Errorf("after accepting the damage: got %q, want %q", got, want)
			}
			mustHold(t, o)
			aside, err := filepath.Glob(o.Path + ".damaged-*")
			if err != nil || len(aside) != 1 {
				t.Fatalf("set aside: %v, %v", aside, err)
			}
			if string(log) != "-" && !bytes.Equal(read(t, aside[0]), log) {
				t.Errorf("the damaged log was not kept as it was")
			}
		})
	}
}

func TestALogWithOldCheckpointsIsNotContinued(t *testing.T) {
	o := written(t)
	first := read(t, o.Path+".checkpoints")
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	replace(t, o.Path+".checkpoints", first[:endOfLine(first, 1)])
	_, err := audit.Open(t.Context(), o)
	if _, ok := errors.AsType[*audit.DamageError](err); !ok {
		t.Errorf("got %v, want a DamageError", err)
	}
}

func TestOpenRefusesWrongKeys(t *testing.T) {
	for name, change := range map[string]func(*audit.Keys){
		"short chain key":   func(k *audit.Keys) { k.Chain = []byte("short") },
		"no signing key":    func(k *audit.Keys) { k.Sign = nil },
		"other chain key":   func(k *audit.Keys) { k.Chain = bytes.Repeat([]byte{1}, 32) },
		"other signing key": func(k *audit.Keys) { k.Sign = ed25519.NewKeyFromSeed(make([]byte, 32)) },
	} {
		t.Run(name, func(t *testing.T) {
			o := written(t)
			change(&o.Keys)
			if l, err := audit.Open(t.Context(), o); err == nil {
				l.Close()
				t.Error("the log was opened")
			}
		})
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file again, or removes it if the content is "-".
func replace(t *testing.T, path string, content []byte) {
	t.Helper()
	err := os.Remove(path)
	if string(content) != "-" {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

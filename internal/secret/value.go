// Package secret is the second wing's port: what a secret value is, how configuration names one, and what a store must
// do.
//
// The adapters (builtin, and one package for each kind of store) implement Store and beside it the extra powers they
// have.
//
// Invariant: a Value never prints. Its bytes leave through Reveal only, so every place that touches one is found by one
// search.
package secret

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
)

const redacted = "[redacted]"

// Value is the bytes of a secret. The zero Value is "no secret". It prints as [redacted] in every format and encoding;
// in an unexported field, where fmt cannot call its methods, as the address of a function.
type Value struct {
	reveal func() []byte // a function, since fmt looks into anything else, behind pointers too
}

// NewValue copies b.
func NewValue(b []byte) Value {
	if len(b) == 0 {
		return Value{}
	}
	b = bytes.Clone(b)
	return Value{func() []byte { return b }}
}

// Reveal returns the bytes: the one door. The caller must not modify, keep or print them.
func (v Value) Reveal() []byte {
	if v.reveal == nil {
		return nil
	}
	return v.reveal()
}

// IsZero tells whether there is no secret at all.
func (v Value) IsZero() bool { return v.reveal == nil }

// Len is the length in bytes.
func (v Value) Len() int { return len(v.Reveal()) }

// Equal compares in time that depends on the lengths only.
func (v Value) Equal(w Value) bool { return subtle.ConstantTimeCompare(v.Reveal(), w.Reveal()) == 1 }

// Same is Equal for values that a store may have written in its own way: two JSON objects are the same if they say the
// same, whatever the order of their keys and the white space. Vault, for one, returns an object with its keys sorted.
func (v Value) Same(w Value) bool {
	if v.Equal(w) {
		return true
	}
	one, other := object(v), object(w)
	return one != nil && other != nil && reflect.DeepEqual(one, other)
}

func object(v Value) map[string]any {
	var fields map[string]any
	if json.Unmarshal(v.Reveal(), &fields) != nil {
		return nil
	}
	return fields
}

// String returns [redacted].
func (Value) String() string { return redacted }

// GoString returns [redacted].
func (Value) GoString() string { return redacted }

// Format writes [redacted] whatever the verb.
func (Value) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// MarshalText returns [redacted], which covers JSON, YAML and XML too.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue keeps slog from looking inside.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

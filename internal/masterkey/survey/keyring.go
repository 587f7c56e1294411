// Package survey looks at every value in n8n's database that the master key protects: which key opens it, and which
// none does.
//
// A Keyring is one or more master keys with the data keys that they unwrap; a Survey counts what it opens. Nothing is
// written. Where values lie is package n8n/database's knowledge, how they are encrypted n8n/cipher's.
//
// Invariant: what a Survey or a Verdict holds are names and counts: no key, no plaintext and no ciphertext.
package survey

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// What keeps a value closed, beside cipher.ErrMalformed.
var (
	// ErrNoKey: no key of the ring opens it.
	ErrNoKey = errors.New("no key that is known opens it")
	// ErrAmbiguous: two keys open it to different texts, so that one of them is garbage that looks like text.
	ErrAmbiguous = errors.New("two keys open it, and not to the same")
	// ErrNoDataKey: its prefix names a data key that deployment_key does not have, or that no master key unwraps.
	ErrNoDataKey = errors.New("the data key that it names cannot be obtained")
)

// KeyRow is a row of deployment_key with what it holds.
type KeyRow struct {
	database.DeploymentKeyRow
	Secret   secret.Value    // zero if no master key opens it
	Wrapping cipher.Wrapping // how it was held
	Master   int             // the first master key that opens it; -1 for none
}

// Opens tells whether a master key opens it.
func (r KeyRow) Opens() bool { return r.Master >= 0 }

// Proves tells whether its opening proves the master key.
func (r KeyRow) Proves() bool {
	return r.Opens() && (r.Wrapping == cipher.Wrapped || r.Wrapping == cipher.RawMaster)
}

// Keyring opens values. It is immutable and safe for concurrent use.
type Keyring struct {
	Rows []KeyRow // as they were given

	plain []numbered               // values without a prefix: CBC under a master key, or under a legacy data key
	data  map[string]cipher.Cipher // values with a prefix
}

type numbered struct {
	cipher.Cipher

	master int
}

// NewKeyring unwraps rows with the master keys; of two that open the same thing the first counts.
func NewKeyring(rows []database.DeploymentKeyRow, masters ...secret.Value) (*Keyring, error) {
	k := &Keyring{data: make(map[string]cipher.Cipher)}
	for i, master := range masters {
		k.plain = append(k.plain, numbered{cipher.NewCBC(master), i})
	}
	for _, row := range rows {
		opened := unwrap(row, masters)
		k.Rows = append(k.Rows, opened)
		if !opened.Opens() || row.Type != cipher.TypeDataEncryption {
			continue
		}
		c, err := cipher.New(row.Algorithm, opened.Secret)
		if err != nil {
			return nil, fmt.Errorf("reading the row %q of deployment_key: %w", row.ID, err)
		}
		k.data[row.ID] = c
		if row.Algorithm == cipher.AlgorithmCBC && !slices.ContainsFunc(masters, opened.Secret.Equal) {
			k.plain = append(k.plain, numbered{c, opened.Master})
		}
	}
	return k, nil
}

func unwrap(row database.DeploymentKeyRow, masters []secret.Value) KeyRow {
	for i, master := range masters {
		if plain, how, err := row.Unwrap(master); err == nil {
			return KeyRow{DeploymentKeyRow: row, Secret: plain, Wrapping: how, Master: i}
		}
	}
	return KeyRow{DeploymentKeyRow: row, Master: -1}
}

// Single tells whether only one key comes into question for values without a prefix.
func (k *Keyring) Single() bool { return len(k.plain) == 1 }

// DataKeys are the ids that a prefix can have.
func (k *Keyring) DataKeys() []string {
	var ids []string
	for _, row := range k.Rows {
		if row.Type == cipher.TypeDataEncryption {
			ids = append(ids, row.ID)
		}
	}
	return ids
}

// Opened is a value in the clear.
type Opened struct {
	Plain   secret.Value
	Master  int    // the master key that opened it; -1 for a data key
	DataKey string // the data key that did
}

// Open decrypts a value. right tells whether a plaintext can be one here: CBC has no MAC, and one of 256 wrong keys
// gives garbage. Errors: cipher.ErrMalformed, ErrNoKey, ErrNoDataKey, ErrAmbiguous.
func (k *Keyring) Open(stored string, right func(plaintext []byte) bool) (Opened, error) {
	id, ciphertext, err := cipher.Split(stored)
	if err != nil {
		return Opened{}, err
	}
	if id != "" {
		return k.openPrefixed(id, ciphertext, right)
	}
	for i, key := range k.plain {
		plain, err := key.Decrypt(stored)
		switch {
		case errors.Is(err, cipher.ErrMalformed):
			return Opened{}, err
		case err != nil || !right(plain.Reveal()):
			continue
		case telling(plain.Reveal()) || k.alone(i+1, stored, plain, right):
			return Opened{Plain: plain, Master: key.master}, nil
		}
		return Opened{}, ErrAmbiguous
	}
	return Opened{}, ErrNoKey
}

// telling reports whether a plaintext that is right cannot be what a wrong key gives: a JSON object, or text of some
// length. Of values with one block, one of 10^9 wrong keys makes something printable.
func telling(plain []byte) bool {
	const long = 32
	return len(plain) >= long || json.Valid(plain) && bytes.HasPrefix(plain, []byte("{"))
}

// alone reports whether no key from the i-th on opens a value to another text.
func (k *Keyring) alone(i int, stored string, plain secret.Value, right func([]byte) bool) bool {
	return !slices.ContainsFunc(k.plain[i:], func(key numbered) bool {
		other, err := key.Decrypt(stored)
		return err == nil && right(other.Reveal()) && !other.Equal(plain)
	})
}

func (k *Keyring) openPrefixed(id, ciphertext string, right func([]byte) bool) (Opened, error) {
	c := k.data[id]
	if c == nil {
		return Opened{}, ErrNoDataKey
	}
	plain, err := c.Decrypt(ciphertext)
	switch {
	case errors.Is(err, cipher.ErrMalformed):
		return Opened{}, err
	case err != nil || !right(plain.Reveal()):
		return Opened{}, ErrNoKey
	}
	return Opened{Plain: plain, Master: -1, DataKey: id}, nil
}

// nameOf names a row for people: its primary key.
func nameOf(key []string) string { return strings.Join(key, "/") }

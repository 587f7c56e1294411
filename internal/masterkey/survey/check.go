package survey

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// Result is whether a master key is a database's.
type Result string

// The results.
const (
	Match    Result = "match"    // it opens everything
	Mixed    Result = "mixed"    // it opens some, and not all
	Mismatch Result = "mismatch" // it opens nothing
	Unproven Result = "unproven" // there is nothing to open
)

// What a Result rests on.
const (
	ProofRows   = "deployment_key" // authenticated: no wrong key passes
	ProofValues = "values"         // every value was decrypted, and is what it should be
)

// Verdict is what a database says of a master key.
type Verdict struct {
	Result     Result          `json:"result"`
	Proof      string          `json:"proof,omitempty"`
	Keys       int             `json:"deployment_keys"`        // rows of deployment_key that are wrapped
	KeysOpen   int             `json:"deployment_keys_opened"` // of these, those that the key opens
	Readable   int             `json:"readable"`
	Unreadable int             `json:"unreadable"`
	Places     []LocationCount `json:"places"`
	Named      []Unreadable    `json:"unreadable_values"` // the first MaxNamed
}

// Check proves a master key on a database: on the rows of deployment_key (n8n 2.20 and later), and on every value.
func Check(ctx context.Context, db *database.DB, key secret.Value) (Verdict, error) {
	tx, err := db.Begin(ctx, false)
	if err != nil {
		return Verdict{}, fmt.Errorf("checking the master key: %w", err)
	}
	v, err := check(ctx, tx, key)
	return v, errors.Join(err, tx.Rollback())
}

func check(ctx context.Context, tx *database.Tx, key secret.Value) (Verdict, error) {
	rows, err := tx.DeploymentKeys(ctx)
	if err != nil {
		return Verdict{}, err
	}
	ring, err := NewKeyring(rows, key)
	if err != nil {
		return Verdict{}, err
	}
	s, err := Take(ctx, tx, ring, 1, nil)
	if err != nil {
		return Verdict{}, err
	}
	return ring.judge(s), nil
}

func (k *Keyring) judge(s Survey) Verdict {
	t := s.Totals()
	v := Verdict{Readable: t.Readable(), Unreadable: t.Unreadable, Places: s.Locations, Named: s.Unreadable}
	v.Keys, v.KeysOpen = k.wrapped()
	good, bad := v.KeysOpen+v.Readable, v.Keys-v.KeysOpen+v.Unreadable
	switch {
	case v.KeysOpen > 0:
		v.Proof = ProofRows
	case good > 0:
		v.Proof = ProofValues
	}
	switch {
	case good == 0 && bad == 0:
		v.Result = Unproven
	// what else is readable was written by an n8n with this key, and n8n cannot read it
	case good == 0, v.Keys > 0 && v.KeysOpen == 0:
		v.Result = Mismatch
	case bad > 0:
		v.Result = Mixed
	default:
		v.Result = Match
	}
	return v
}

// wrapped counts the rows that only the right master key opens, and those that are open.
func (k *Keyring) wrapped() (all, open int) {
	for _, row := range k.Rows {
		switch {
		case row.Proves():
			all++
			open++
		case !row.Opens() && row.Algorithm == cipher.AlgorithmGCM, !row.Opens() &&
			row.Type == cipher.TypeDataEncryption:
			all++
		}
	}
	return all, open
}

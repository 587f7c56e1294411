package rekey

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// What becomes of a row of deployment_key.
const (
	keySame      = "same"      // it does not depend on the master key
	keyRewrapped = "rewrapped" // the same secret, under the new master key
	keyReplaced  = "replaced"  // another secret
	keyRetired   = "retired"   // rewrapped, and no longer used for writing
	keyAdded     = "added"
)

// KeyChange tells of a row of deployment_key.
type KeyChange struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Algorithm string `json:"algorithm,omitempty"`
	Done      string `json:"done"` // same, rewrapped, replaced, retired, added
}

// keyStep is a row before and after. before has no ID when the row is added.
type keyStep struct {
	before, after database.DeploymentKeyRow
	secret        secret.Value // in after
	done          string
}

func (s keyStep) change() KeyChange {
	return KeyChange{ID: s.after.ID, Type: s.after.Type, Algorithm: s.after.Algorithm, Done: s.done}
}

// n8n's states of a row.
const (
	active   = "active"
	inactive = "inactive"
)

// planKeys decides what becomes of each row. The legacy data key, which is the master key of n8n's first start with
// such rows, becomes the new master key: n8n writes without a prefix under the key of its environment and reads under
// this row, so that they have to be the same. All values under the old one are rewritten with it.
func planKeys(ring *survey.Keyring, o Options) ([]keyStep, error) {
	var steps []keyStep
	for _, row := range ring.Rows {
		step := keyStep{
			before: row.DeploymentKeyRow, after: row.DeploymentKeyRow, secret: row.Secret,
			done: keyRewrapped,
		}
		switch {
		case row.Type == cipher.TypeInstanceID:
			step.done = keySame
		case row.Type == cipher.TypeDataEncryption && row.Algorithm == cipher.AlgorithmCBC:
			step.secret, step.done = o.New, keyReplaced
		case strings.HasPrefix(row.Type, cipher.TypeSigning) && o.Leaked:
			step.secret, step.done = newSigningSecret(row.Type), keyReplaced
		case row.Wrapping == cipher.Plain, row.Wrapping == cipher.RawHex:
			step.done = keySame
		}
		if isAsWanted(row, step) {
			step.done = keySame
		}
		if step.done != keySame {
			step.after.Value = hold(row, step.secret, o.New)
		}
		steps = append(steps, step)
	}
	if o.Leaked {
		steps = replaceDataKeys(steps, o.New)
	}
	return steps, check(steps, o.New)
}

// isAsWanted tells a row that is under the new master key, and not under the old one, with the secret that it is to
// have: a change that went half way, or that is made twice.
func isAsWanted(row survey.KeyRow, step keyStep) bool {
	return row.Master == 1 && row.Wrapping != cipher.RawMaster && row.Secret.Equal(step.secret)
}

// hold puts a secret into a row as the row held its own, so that the n8n that wrote it reads it; a master key in the
// clear is wrapped, as every n8n with this table reads it.
func hold(row survey.KeyRow, plain, master secret.Value) secret.Value {
	switch {
	case row.Wrapping == cipher.Plain:
		return plain
	// a CBC row is known by 64 hexadecimal digits, which a master key need not be
	case row.Wrapping == cipher.CBCWrapped && row.Algorithm != cipher.AlgorithmCBC:
		return secret.NewValue([]byte(cipher.NewCBC(master).Encrypt(plain)))
	}
	return secret.NewValue([]byte(cipher.NewWrapping(master).Encrypt(plain)))
}

// replaceDataKeys retires every GCM data key, since whoever had the old master key could unwrap it, and adds a new one.
func replaceDataKeys(steps []keyStep, master secret.Value) []keyStep {
	var algorithm, status string
	for i, step := range steps {
		if step.before.Type != cipher.TypeDataEncryption || step.before.Algorithm != cipher.AlgorithmGCM {
			continue
		}
		algorithm = step.before.Algorithm
		if step.before.Status == active {
			status = active
		}
		steps[i].after.Status, steps[i].done = inactive, keyRetired
	}
	if algorithm == "" {
		return steps
	}
	if status == "" {
		status = inactive
	}
	plain := newDataKey()
	row := database.DeploymentKeyRow{ID: newID(), Status: status, DeploymentKey: cipher.DeploymentKey{
		Type: cipher.TypeDataEncryption, Algorithm: algorithm,
		Value: secret.NewValue([]byte(cipher.NewWrapping(master).Encrypt(plain))),
	}}
	return append(steps, keyStep{after: row, secret: plain, done: keyAdded})
}

func newDataKey() secret.Value {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return secret.NewValue([]byte(hex.EncodeToString(raw)))
}

// newSigningSecret is random, in the form that n8n derives for this type.
func newSigningSecret(kind string) secret.Value {
	if kind != "signing.binary_data" {
		return newDataKey()
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	return secret.NewValue([]byte(base64.StdEncoding.EncodeToString(raw)))
}

const (
	idLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idSize    = 16
)

// newID is an id as n8n makes them (@n8n/db generateNanoId).
func newID() string {
	id := make([]byte, idSize)
	for i := range id {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(idLetters))))
		if err != nil {
			panic(err) // never fails (crypto/rand)
		}
		id[i] = idLetters[n.Int64()]
	}
	return string(id)
}

// afterwards is the table as it will be.
func afterwards(steps []keyStep) []database.DeploymentKeyRow {
	rows := make([]database.DeploymentKeyRow, 0, len(steps))
	for _, step := range steps {
		rows = append(rows, step.after)
	}
	return rows
}

// check opens every row as it will be.
func check(steps []keyStep, master secret.Value) error {
	for _, step := range steps {
		plain, _, err := step.after.Unwrap(master)
		if err != nil || !plain.Equal(step.secret) {
			return fmt.Errorf("wrapping the row %q of deployment_key (%s): it does not open again",
				step.after.ID, step.after.Type)
		}
	}
	return nil
}

// writing encrypts values as they are to be afterwards.
type writing struct {
	plain   cipher.Cipher // without a prefix
	keys    map[string]cipher.Cipher
	instead map[string]string // the id of a retired data key: the id of the one that takes its place
}

func newWriting(steps []keyStep, master secret.Value) writing {
	w := writing{plain: cipher.NewCBC(master), keys: make(map[string]cipher.Cipher), instead: make(map[string]string)}
	fresh := ""
	for _, step := range steps {
		if step.done == keyAdded {
			fresh = step.after.ID
		}
	}
	for _, step := range steps {
		if step.after.Type != cipher.TypeDataEncryption {
			continue
		}
		switch c, err := cipher.New(step.after.Algorithm, step.secret); {
		case err != nil: // the keyring has refused it
		case step.done == keyAdded:
			w.keys[step.after.ID] = c
		case step.done == keyRetired:
			w.instead[step.after.ID] = fresh
		case step.done == keyReplaced:
			w.keys[step.after.ID], w.instead[step.after.ID] = c, step.after.ID
		}
	}
	return w
}

// stored is a value as it is to be; same when it stays as it is.
func (w writing) stored(v survey.Value) (stored string, same bool) {
	if v.DataKey == "" {
		return w.plain.Encrypt(v.Plain), false
	}
	id, moves := w.instead[v.DataKey]
	if !moves {
		return v.Stored, true
	}
	return cipher.Join(id, w.keys[id].Encrypt(v.Plain)), false
}

package cipher

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"sallyport/internal/secret"
)

// The types of rows of deployment_key. Those that begin with TypeSigning hold signing secrets.
const (
	TypeInstanceID     = "instance.id"
	TypeDataEncryption = "data_encryption"
	TypeSigning        = "signing."
	TypeJWE            = "jwe.private-key"
)

// Wrapping is how a row of deployment_key holds its secret.
type Wrapping string

// The ways. Wrapped is what n8n 2.41 writes; the others were written by earlier versions, and are read, and partly
// repaired at boot, by 2.41.
const (
	Wrapped    Wrapping = "wrapped"     // GCM under the wrapping key of the master key
	CBCWrapped Wrapping = "cbc-wrapped" // CBC under the master key
	RawMaster  Wrapping = "raw-master"  // a data key: the master key itself, in the clear
	RawHex     Wrapping = "raw-hex"     // a data key: 64 hexadecimal digits, in the clear
	Plain      Wrapping = "plain"       // the instance id; signing secrets up to 2.38 (algorithm NULL)
)

// DeploymentKey is what matters of a row of deployment_key. Algorithm is "" for NULL.
type DeploymentKey struct {
	Type, Algorithm string
	Value           secret.Value
}

// cbcWrapped is the beginning of "Salted__" in base64, by which n8n knows what is CBC.
const cbcWrapped = "U2FsdGVk"

var rawDataKey = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// Unwrap returns the secret of a row, and how the row held it. Of the row of the legacy data key (TypeDataEncryption,
// AlgorithmCBC) the secret is the master key that n8n had at its first boot of 2.20 or later. Errors: ErrWrongKey,
// ErrMalformed (also for a type or an algorithm that n8n 2.41 does not have).
//
// Only Wrapped proves the master key, and RawMaster does. CBCWrapped is checked by what it holds.
func (k DeploymentKey) Unwrap(master secret.Value) (secret.Value, Wrapping, error) {
	switch {
	case k.Type == TypeInstanceID && k.Algorithm == "":
		return k.Value, Plain, nil
	case k.Type == TypeDataEncryption && (k.Algorithm == AlgorithmCBC || k.Algorithm == AlgorithmGCM):
		return k.unwrapDataKey(master)
	case k.Type == TypeJWE:
		return k.unwrapEither(master, json.Valid)
	case strings.HasPrefix(k.Type, TypeSigning) && k.Algorithm == "":
		return k.Value, Plain, nil
	case strings.HasPrefix(k.Type, TypeSigning) && k.Algorithm == AlgorithmGCM:
		return k.unwrapGCM(master)
	}
	return secret.Value{}, "", fmt.Errorf("unwrapping a deployment key of an unknown kind: %w", ErrMalformed)
}

// unwrapDataKey asks in the order of KeyManagerService.recoverLegacyDek.
func (k DeploymentKey) unwrapDataKey(master secret.Value) (secret.Value, Wrapping, error) {
	switch {
	case !master.IsZero() && k.Value.Equal(master):
		return k.Value, RawMaster, nil
	case rawDataKey.Match(k.Value.Reveal()):
		return k.Value, RawHex, nil
	}
	return k.unwrapEither(master, rawDataKey.Match)
}

// unwrapEither opens GCM, or CBC whose plaintext is right.
func (k DeploymentKey) unwrapEither(master secret.Value,
	right func(plain []byte) bool,
) (secret.Value, Wrapping, error) {
	stored := string(k.Value.Reveal())
	if !strings.HasPrefix(stored, cbcWrapped) {
		return k.unwrapGCM(master)
	}
	plain, err := NewCBC(master).Decrypt(stored)
	if err == nil && !right(plain.Reveal()) {
		err = ErrWrongKey
	}
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("unwrapping a deployment key: %w", err)
	}
	return plain, CBCWrapped, nil
}

func (k DeploymentKey) unwrapGCM(master secret.Value) (secret.Value, Wrapping, error) {
	plain, err := NewWrapping(master).Decrypt(string(k.Value.Reveal()))
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("unwrapping a deployment key: %w", err)
	}
	return plain, Wrapped, nil
}

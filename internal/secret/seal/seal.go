// Package seal is envelope encryption of everything that Sallyport keeps at rest.
//
// Three layers: a key-encryption key outside the database (a Keeper) wraps the one Tink keyset in the database; that
// keyset (AES-256-GCM) seals records and the keys that other parts ask for. It does not store records: their owners do.
//
// Invariant: what is sealed opens only as the record it was sealed for: kind, name and version are associated data.
// Nothing in the database opens without the key-encryption key.
package seal

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"sallyport/internal/database"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Sealer seals and unseals records, and hands out keys. It is safe for concurrent use.
type Sealer struct {
	db      *database.DB
	records tink.AEAD

	rows []byte // the key that RowKey hands out

	mu      sync.Mutex // serialises Rewrap
	keeper  Keeper
	adopted bool
}

// Open unwraps the keyset in db with keeper, or makes it when db is new; of several processes that start at once all
// end up with the same one. Errors: a fault.StoreUnavailable around ErrWrongKeeper when keeper is not the one that db
// was made with.
func Open(ctx context.Context, db *database.DB, keeper Keeper) (*Sealer, error) {
	handle, form, err := loadKeyset(ctx, db, keeper)
	if err != nil {
		return nil, fmt.Errorf("opening the seal of %s: %w", db.Where, err)
	}
	records, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("opening the seal of %s: %w", db.Where, err)
	}
	s := &Sealer{db: db, records: records, keeper: keeper, adopted: form == wrappedAs}
	if s.rows, err = s.MACKey(ctx, purposeRows); err != nil {
		return nil, fmt.Errorf("opening the seal of %s: %w", db.Where, err)
	}
	return s, nil
}

// RowKey is the key that rows of the database are authenticated with (package database/ledger).
func (s *Sealer) RowKey() []byte { return s.rows }

// Seal encrypts plain as version of the record name of the given kind. The result differs from call to call and is
// plain's length and 33 bytes.
func (s *Sealer) Seal(kind, name string, version int, plain []byte) ([]byte, error) {
	sealed, err := s.records.Encrypt(plain, identity(kind, name, version))
	if err != nil {
		return nil, fmt.Errorf("sealing %s %q version %d: %w", kind, name, version, err)
	}
	return sealed, nil
}

// Unseal decrypts what Seal made of the same kind, name and version. Anything else, and any altered bit, is an error.
func (s *Sealer) Unseal(kind, name string, version int, sealed []byte) ([]byte, error) {
	plain, err := s.records.Decrypt(sealed, identity(kind, name, version))
	if err != nil {
		return nil, fmt.Errorf("unsealing %s %q version %d: it was altered, or sealed as another record: %w", kind,
			name, version, err)
	}
	return plain, nil
}

// identity encodes the three so that no two records share an encoding: each text is preceded by its length.
func identity(kind, name string, version int) []byte {
	b := []byte("sallyport record 1\x00")
	for _, text := range []string{kind, name} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text))) //nolint:gosec // names are short
		b = append(b, text...)
	}
	return binary.BigEndian.AppendUint64(b, uint64(version)) //nolint:gosec // versions count upward from 1
}

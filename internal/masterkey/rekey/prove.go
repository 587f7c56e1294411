package rekey

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math/bits"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
)

// digest is the sum, modulo 2^256, of one keyed hash for each value, over where it lies and what it says: two readings
// of a database have the same one if they read the same values, in whatever order.
type digest struct {
	sum  [4]uint64
	macs *sync.Pool // of hash.Hash; only of the digest that hands them out
}

// newDigest has a key of its own, so that a digest says nothing about what it is of.
func newDigest() digest {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return digest{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// of is the digest of one value.
func (d *digest) of(p database.Location, key []string, v survey.Value) digest {
	mac, _ := d.macs.Get().(hash.Hash)
	defer d.macs.Put(mac)
	mac.Reset()
	part := func(b []byte) { // each with its length before it, so that no two places read alike
		_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		_, _ = mac.Write(b)
	}
	part([]byte(p.String()))
	for _, k := range key {
		part([]byte(k))
	}
	part([]byte(v.Path))
	part(v.Plain.Reveal())
	var out [sha256.Size]byte
	mac.Sum(out[:0])
	var one digest
	for i := range one.sum {
		one.sum[i] = binary.LittleEndian.Uint64(out[8*i:])
	}
	return one
}

func (d *digest) add(more digest) {
	var carry uint64
	for i := range d.sum {
		d.sum[i], carry = bits.Add64(d.sum[i], more.sum[i], carry)
	}
}

// prove reads everything back from the database with the new key alone, and wants the plaintexts that the old one gave.
func (r *run) prove(ctx context.Context) error {
	rows, err := r.tx.DeploymentKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading the data keys back: %w", err)
	}
	ring, err := survey.NewKeyring(rows, r.o.New)
	if err != nil {
		return err
	}
	if err := r.proveKeys(ring); err != nil {
		return err
	}
	sum, err := r.readBack(ctx, ring)
	switch {
	case err != nil:
		return err
	case sum.sum != r.sum.sum:
		return errors.New("proving the new master key: what it reads in the database is not what the old one read; " +
			"nothing was changed")
	}
	return nil
}

func (r *run) proveKeys(ring *survey.Keyring) error {
	found := make(map[string]survey.KeyRow, len(ring.Rows))
	for _, row := range ring.Rows {
		found[row.ID] = row
	}
	for _, step := range r.keys {
		row := found[step.after.ID]
		if !row.Opens() || !row.Secret.Equal(step.secret) || row.Status != step.after.Status {
			return fmt.Errorf("proving the row %q of deployment_key (%s): it is not what was written",
				step.after.ID, step.after.Type)
		}
	}
	if len(found) != len(r.keys) {
		return fmt.Errorf("proving deployment_key: it has %d rows, want %d", len(found), len(r.keys))
	}
	return nil
}

// readBack opens a batch while the database reads the next.
func (r *run) readBack(ctx context.Context, ring *survey.Keyring) (digest, error) {
	var sum digest
	var done int64
	locations, err := r.tx.Locations(ctx)
	if err != nil {
		return sum, fmt.Errorf("listing what is encrypted: %w", err)
	}
	ahead := make(chan opened, 1)
	ahead <- opened{}
	take := func() error {
		last := <-ahead
		r.report.Crypto += last.spent
		sum.add(last.sum)
		return last.err
	}
	for _, p := range locations {
		err := r.rows(ctx, p, func(rows []database.Row) error {
			broken := take()
			if broken != nil {
				ahead <- opened{} // for the last take
				return broken
			}
			guard.Go("opening rows", func() { ahead <- r.open(ring, p, rows) }, // whoever calls take receives it
				func(why *fault.Panic) { ahead <- opened{err: why} })
			done += int64(len(rows))
			r.tell("proving", p.String(), done, r.total)
			return ctx.Err()
		})
		if err != nil {
			return sum, fmt.Errorf("reading %s back: %w", p, cmp.Or(take(), err))
		}
	}
	return sum, take()
}

// opened is the digest of a batch of rows.
type opened struct {
	sum   digest
	spent time.Duration
	err   error // a panic
}

func (r *run) open(ring *survey.Keyring, p database.Location, rows []database.Row) (o opened) {
	began := time.Now()
	sums := make([]digest, len(rows))
	right := p.Right
	// all of it was opened before, and whatever else it were would have another digest
	if ring.Single() && r.report.Kept == 0 {
		right = func([]byte) bool { return true }
	}
	survey.Spread(len(rows), func(i int) {
		for _, v := range ring.OpenRowAs(p, rows[i], right).Values {
			if v.Err == nil {
				sums[i].add(r.sum.of(p, rows[i].Key, v))
			}
		}
	})
	for _, one := range sums {
		o.sum.add(one)
	}
	o.spent = time.Since(began)
	return o
}

// applyKeys writes the rows of deployment_key. One that is no longer active goes first: there is one active row per
// type.
func (r *run) applyKeys(ctx context.Context) error {
	for _, step := range r.keys {
		if step.done == keySame {
			continue
		}
		if err := r.file.key(step); err != nil {
			return err
		}
		if err := applyKey(ctx, r.tx, step); err != nil {
			return fmt.Errorf("writing the row %q of deployment_key (%s): %w", step.after.ID, step.after.Type, err)
		}
	}
	return nil
}

func applyKey(ctx context.Context, tx *database.Tx, step keyStep) error {
	if step.done == keyAdded {
		return tx.AddDeploymentKey(ctx, step.after)
	}
	if step.after.Status != step.before.Status {
		if err := tx.SetDeploymentKeyStatus(ctx, step.after.ID, step.after.Status); err != nil {
			return err
		}
	}
	return tx.SetDeploymentKey(ctx, step.after.ID, string(step.after.Value.Reveal()))
}

// isDataKey tells the rows whose secret encrypts values.
func isDataKey(row database.DeploymentKeyRow) bool { return row.Type == cipher.TypeDataEncryption }

// Package vault is the store for HashiCorp Vault and OpenBao: the KV secrets engine, versions 1 and 2, and any other
// engine that answers a read, such as database credentials under a lease.
//
// A path is <mount>/<path>, as the vault command takes it: without data/ or metadata/. A secret of Vault is a map, and
// Get gives it as a JSON object, so that a reference picks a field; what Put writes is in value.go. The store logs in
// when it is first used, all callers waiting for one login, and again when the token ends or is revoked. It keeps no
// values, leased ones apart, and cannot watch: it has to be polled.
//
// The requests are made here and not by Vault's own client, of which only the wire types are taken: that client reads
// the VAULT_ variables of the environment whatever it is told, fails when one of them is malformed, follows a redirect
// with the token, and reads answers of any length.
//
// Invariant: nothing is read from the environment; no token leaves for another address than Options.Address; no text
// that Vault answered is part of an error.
package vault

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"sallyport/internal/secret"
)

// Store reads and writes the secrets of one Vault. It is a secret.Store, Writer, CheckAndSetter, Lister, Batcher and
// Runner, and safe for concurrent use.
type Store struct {
	client   *client
	sessions *sessions
	mounts   *mounts
	leases   *leases
	timeout  time.Duration
	digest   []byte // the key of fingerprint
}

var (
	_ secret.Store          = (*Store)(nil)
	_ secret.Writer         = (*Store)(nil)
	_ secret.CheckAndSetter = (*Store)(nil)
	_ secret.Lister         = (*Store)(nil)
	_ secret.Batcher        = (*Store)(nil)
	_ secret.Runner         = (*Store)(nil)
)

// New checks o and returns the store. It contacts nobody.
func New(o Options) (*Store, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	s := &Store{client: c, leases: newLeases(), timeout: o.timeout(), digest: make([]byte, sha256.Size)}
	_, _ = rand.Read(s.digest) // never fails, says its documentation
	s.sessions = newSessions(o.method(c))
	s.mounts = &mounts{fixed: o.KV}
	return s, nil
}

// Get implements secret.Store. In KV version 1, which keeps no versions, and for leased secrets, the version is one
// that this process has made up: it changes with the value and tells nothing of it.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	value, v, err := s.get(bounded, path, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed(ctx, "reading secret", path, err)
	}
	return value, v, nil
}

func (s *Store) get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	m, key, err := s.locate(ctx, path)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	switch m.kv {
	case 2:
		return s.get2(ctx, m, key, version)
	case 1:
		return s.get1(ctx, m, key, version)
	default:
		return s.getLeased(ctx, m, key, version)
	}
}

// Put implements secret.Writer. It replaces the whole map.
func (s *Store) Put(ctx context.Context, path string, value secret.Value) (secret.Version, error) {
	return s.write(ctx, "writing secret", path, func(ctx context.Context, m mount, key string) (secret.Version, error) {
		data, err := encode(value.Reveal())
		if err != nil {
			return secret.Version{}, err
		}
		if m.kv == 1 {
			return s.put1(ctx, m, key, data)
		}
		return s.put2(ctx, m, key, data)
	})
}

// PutIf implements secret.CheckAndSetter; KV version 1 cannot do it and says so.
func (s *Store) PutIf(ctx context.Context, path string, value secret.Value, expected string) (secret.Version, error) {
	return s.write(ctx, "writing secret", path, func(ctx context.Context, m mount, key string) (secret.Version, error) {
		data, err := encode(value.Reveal())
		if err != nil {
			return secret.Version{}, err
		}
		if m.kv == 1 {
			return secret.Version{}, errUnversioned
		}
		return s.putIf2(ctx, m, key, data, expected)
	})
}

// Rollback implements secret.Writer; KV version 1 cannot do it and says so.
func (s *Store) Rollback(ctx context.Context, path, version string) (secret.Version, error) {
	return s.write(ctx, "rolling back secret", path,
		func(ctx context.Context, m mount, key string) (secret.Version, error) {
			if m.kv == 1 {
				return secret.Version{}, errUnversioned
			}
			return s.rollback2(ctx, m, key, version)
		})
}

// Delete implements secret.Writer. In KV version 2 the data of every version is destroyed. The list of the versions'
// numbers stays, so that a number is never given out twice; `vault kv metadata delete` removes that too.
func (s *Store) Delete(ctx context.Context, path string) error {
	_, err := s.write(ctx, "deleting secret", path,
		func(ctx context.Context, m mount, key string) (secret.Version, error) {
			if m.kv == 1 {
				return secret.Version{}, s.delete1(ctx, m, key)
			}
			return secret.Version{}, s.delete2(ctx, m, key)
		})
	return err
}

// write runs what changes a secret in a KV engine.
func (s *Store) write(ctx context.Context, doing, path string,
	change func(context.Context, mount, string) (secret.Version, error),
) (secret.Version, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	if err := checkPath(path); err != nil {
		return secret.Version{}, s.failed(ctx, doing, path, err)
	}
	m, key, err := s.locate(bounded, path)
	if err == nil && m.kv == 0 {
		err = errNotKV
	}
	var v secret.Version
	if err == nil {
		v, err = change(bounded, m, key)
	}
	if err != nil {
		return secret.Version{}, s.failed(ctx, doing, path, err)
	}
	return v, nil
}

// bound gives a call its time limit.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// fingerprint is a version for what has none: it tells values apart and says nothing of them, since its key dies with
// the process.
func (s *Store) fingerprint(b []byte) string {
	mac := hmac.New(sha256.New, s.digest)
	_, _ = mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// escape shows a path in a policy's quotes.
func escape(path string) string { return strings.ReplaceAll(path, `"`, `\"`) }

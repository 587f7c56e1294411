package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// user is the user of one driver. It keeps nothing.
type user struct {
	s  *Settings
	on driver.Host
}

// Capabilities implements driver.Driver. A key is one of the user's passwords. The server keeps no labels, and none is
// needed: Create contacts nobody, so that the id of every password that a run has set is on record before.
func (d *user) Capabilities() driver.Capabilities {
	return driver.Capabilities{Lists: true, Deletes: true, NeedsOld: d.s.AdminUser == ""}
}

// hashOf is what the server keeps of a password.
func hashOf(password secret.Value) string {
	sum := sha256.Sum256(password.Reveal())
	return hex.EncodeToString(sum[:])
}

// idOf names a password by a hash of its hash: with the hash itself, a weak password could be guessed.
func idOf(hash string) string {
	sum := sha256.Sum256([]byte("sallyport " + hash))
	return "password-" + hex.EncodeToString(sum[:6])
}

// login is what a value logs in with.
func (d *user) login(value secret.Value) (driver.Login, error) {
	login, err := driver.Users{Account: d.s.Account, Names: []string{d.s.User}}.Login(value)
	if err == nil && login.User != d.s.User {
		err = fault.WithHint(fmt.Errorf("%w: the value is a login of the user %q, and not of %q", driver.ErrRefused,
			login.User, d.s.User), "put a login of that user into the store, or write the other name under user")
	}
	return login, err
}

// Create implements driver.Driver.
func (d *user) Create(_ context.Context, job driver.Job) (driver.Made, error) {
	value, err := d.s.MakeUp(d.s.User, 1)
	if err != nil {
		return driver.Made{}, err
	}
	login, err := d.login(value)
	return driver.Made{Key: driver.Key{ID: idOf(hashOf(login.Password)), Label: job.Label()}, Value: value}, err
}

// Set implements driver.Driver. All servers are looked at before the first one is changed.
func (d *user) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	login, err := d.login(made.Value)
	if err != nil {
		return err
	}
	hash := hashOf(login.Password)
	return d.change(ctx, job, func(hashes []string) string {
		if slices.Contains(hashes, hash) {
			return ""
		}
		return "#" + hash
	})
}

// Test implements driver.Driver.
func (d *user) Test(ctx context.Context, _ driver.Job, made driver.Made) error {
	login, err := d.login(made.Value)
	if err != nil {
		return err
	}
	for _, address := range d.s.Addresses {
		conn, err := d.connect(ctx, address, login)
		if err != nil {
			return err
		}
		conn.close()
	}
	return nil
}

// Undo implements driver.Driver; a key is deleted instead.
func (d *user) Undo(ctx context.Context, job driver.Job, made driver.Made) error {
	return d.Delete(ctx, job, made.Key.ID)
}

// Keys implements driver.Driver: the passwords that one of the servers has.
func (d *user) Keys(ctx context.Context, job driver.Job) ([]driver.Key, error) {
	ids := make(map[string]bool)
	for _, address := range d.s.Addresses {
		conn, err := d.enter(ctx, address, job)
		if err != nil {
			return nil, err
		}
		hashes, err := conn.passwords(d.s.User)
		conn.close()
		if err != nil {
			return nil, err
		}
		for _, hash := range hashes {
			ids[idOf(hash)] = true
		}
	}
	var keys []driver.Key
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		keys = append(keys, driver.Key{ID: id})
	}
	return keys, nil
}

// Delete implements driver.Driver.
func (d *user) Delete(ctx context.Context, job driver.Job, id string) error {
	if !job.Current.IsZero() {
		login, err := d.login(job.Current)
		if err != nil {
			return err
		}
		if idOf(hashOf(login.Password)) == id {
			return fault.WithHint(fmt.Errorf("%w: %s is the store's current value, so it is not taken away",
				driver.ErrRefused, id), "put the value that is to be current into the store, then go on")
		}
	}
	return d.change(ctx, job, func(hashes []string) string {
		for _, hash := range hashes {
			if idOf(hash) == id {
				return "!" + hash
			}
		}
		return ""
	})
}

// change has every server apply the rule that makes for the passwords that it has; "" changes nothing there, but is
// saved: an earlier attempt may have got as far.
func (d *user) change(ctx context.Context, job driver.Job, rule func(hashes []string) string) error {
	var conns []*conn
	defer func() {
		for _, one := range conns {
			one.close()
		}
	}()
	saves := make([]string, len(d.s.Addresses))
	rules := make([]string, len(d.s.Addresses))
	for i, address := range d.s.Addresses {
		one, err := d.enter(ctx, address, job)
		if err != nil {
			return err
		}
		conns = append(conns, one)
		hashes, err := one.passwords(d.s.User)
		if err == nil && d.s.Persist != persistNone {
			saves[i], err = one.saving()
		}
		if err != nil {
			return err
		}
		rules[i] = rule(hashes)
	}
	for i, one := range conns {
		if err := one.apply(d.s.User, rules[i], saves[i]); err != nil {
			return partly(err)
		}
	}
	return nil
}

// partly takes the certainty out of a refusal: something may have been changed before it.
func partly(err error) error {
	if driver.Certain(err) {
		return fault.WithHint(fmt.Errorf("%w: %s", driver.ErrUnclear, err.Error()), fault.HintOf(err))
	}
	return err
}

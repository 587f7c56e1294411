package mysql

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// accounts are the users of one driver. It keeps nothing.
type accounts struct {
	s  *Settings
	on driver.Host
}

func (d *accounts) users() driver.Users { return driver.Users{Account: d.s.Account, Names: d.s.Users} }

// Capabilities implements driver.Driver. With two users a key is a user that is not locked, with dual a password. The
// server keeps no labels, and none is needed: Create contacts nobody, so that a run's key is on record before.
func (d *accounts) Capabilities() driver.Capabilities {
	if d.users().Turns() || d.s.Dual {
		return driver.Capabilities{Lists: true, Deletes: true, MaxKeys: 2}
	}
	return driver.Capabilities{MaxKeys: 1}
}

// Create implements driver.Driver.
func (d *accounts) Create(_ context.Context, job driver.Job) (driver.Made, error) {
	user, err := d.users().Next(job.Current)
	if err != nil {
		return driver.Made{}, fmt.Errorf("%w: %w", driver.ErrRefused, err)
	}
	value, err := d.s.MakeUp(user, len(d.s.Users))
	if err != nil {
		return driver.Made{}, err
	}
	key := driver.Key{ID: user, Label: job.Label()}
	if d.s.Dual {
		login, err := d.users().Login(value)
		if err != nil {
			return driver.Made{}, err
		}
		hash, _ := hashFor(pluginSHA2, login.Password, job.Label())
		key.ID = idOf(hash)
	}
	return driver.Made{Key: key, Value: value}, nil
}

// idOf names a password by a hash of its hash.
func idOf(hash string) string {
	sum := sha256.Sum256([]byte("sallyport " + hash))
	return "password-" + hex.EncodeToString(sum[:6])
}

// Set implements driver.Driver.
func (d *accounts) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	login, err := d.users().Login(made.Value)
	if err != nil {
		return err
	}
	current := d.users().Current(job)
	if !d.users().Has(login.User) || d.users().Turns() && current.User == login.User {
		return fault.WithHint(fmt.Errorf("%w: the store's current value logs in as %q by now, or users has other names",
			driver.ErrRefused, login.User), "rotate again")
	}
	s, err := d.admin(ctx, login.User)
	if err != nil {
		return err
	}
	defer s.close()
	a, err := s.want(ctx, login.User)
	if err != nil {
		return err
	}
	hash, err := hashOf(a, login.Password, job.Label())
	switch {
	case err != nil:
		return err
	case d.s.Dual:
		return s.add(ctx, a, hash, current)
	case !d.users().Turns():
		return s.alter(ctx, a, hash, "")
	}
	if current.User != "" {
		if err := s.compare(ctx, current.User, login.User); err != nil {
			return err
		}
	}
	return s.alter(ctx, a, hash, " ACCOUNT UNLOCK")
}

// add gives MySQL a second password beside the current one. What it retains is whatever it has as the first one, so
// this is done once, and only when that is the current one.
func (s *session) add(ctx context.Context, a *account, hash string, current driver.Login) error {
	name := quoteAccount(a.user, s.d.s.From)
	switch {
	case !s.my:
		return fault.WithHint(fmt.Errorf("%w: MariaDB has no second password", driver.ErrRefused),
			"name two users that take turns, and leave dual out")
	case a.plugin != pluginSHA2:
		return fault.WithHint(fmt.Errorf("%w: the account %s logs in by %q, and not by %s", driver.ErrRefused, name,
			a.plugin, pluginSHA2), "ALTER USER "+name+" IDENTIFIED WITH "+pluginSHA2+" BY …, the current one")
	case a.hash == hash || a.second == hash:
		return nil
	case a.second != "" && a.second != a.hash:
		return fault.WithHint(fmt.Errorf("%w: %s has a second password already", driver.ErrLimit, name),
			"if nobody uses it: ALTER USER "+name+" DISCARD OLD PASSWORD")
	case !matches(a.hash, current.Password):
		return fault.WithHint(fmt.Errorf("%w: the store's current value is not the password of %s, which would be the "+
			"one that is retained", driver.ErrRefused, name), "put the password in use into the store first")
	case a.second != "":
		if err := s.discard(ctx, a.user); err != nil {
			return err
		}
	}
	return s.alter(ctx, a, hash, " RETAIN CURRENT PASSWORD")
}

// Test implements driver.Driver.
func (d *accounts) Test(ctx context.Context, _ driver.Job, made driver.Made) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	login, err := d.users().Login(made.Value)
	if err != nil {
		return err
	}
	s, err := d.connect(ctx, login)
	if err != nil {
		return err
	}
	defer s.close()
	return s.exec(ctx, "DO 1")
}

// Undo implements driver.Driver: the one user gets its former password again.
func (d *accounts) Undo(ctx context.Context, job driver.Job, _ driver.Made) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if d.users().Turns() || d.s.Dual || job.Current.IsZero() {
		return nil // it is deleted; or there is none that could be accepted again
	}
	login, err := d.users().Login(job.Current)
	if err != nil {
		return err
	}
	s, err := d.admin(ctx, login.User)
	if err != nil {
		return err
	}
	defer s.close()
	a, err := s.want(ctx, login.User)
	if err != nil {
		return err
	}
	hash, err := hashOf(a, login.Password, job.Label()+" undo")
	if err != nil {
		return err
	}
	return s.alter(ctx, a, hash, "")
}

// Keys implements driver.Driver.
func (d *accounts) Keys(ctx context.Context, _ driver.Job) (keys []driver.Key, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s, err := d.admin(ctx, strings.Join(d.s.Users, " "))
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, user := range d.s.Users {
		a, err := s.read(ctx, user)
		switch {
		case err != nil:
			return nil, err
		case a == nil:
		case d.s.Dual:
			keys = append(keys, driver.Key{ID: idOf(a.hash)})
			if a.second != "" && a.second != a.hash {
				keys = append(keys, driver.Key{ID: idOf(a.second)})
			}
		case !a.locked:
			keys = append(keys, driver.Key{ID: user})
		}
	}
	return keys, nil
}

// Delete implements driver.Driver. While it has sessions, the old user is not retired.
func (d *accounts) Delete(ctx context.Context, job driver.Job, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if d.s.Dual {
		return d.take(ctx, job, id)
	}
	if !d.users().Has(id) {
		return fault.WithHint(fmt.Errorf("%w: %q is not one of users", driver.ErrRefused, id), "lock it by hand")
	}
	current := d.users().Current(job)
	if current.User == id {
		return d.spare(ctx, current, id == job.OldKey)
	}
	s, err := d.admin(ctx, id)
	if err != nil {
		return err
	}
	defer s.close()
	a, err := s.read(ctx, id)
	if err != nil || a == nil {
		return err
	}
	if id == job.OldKey {
		hosts, err := s.sessionsOf(ctx, id)
		if err != nil {
			return err
		}
		if len(hosts) > 0 {
			return fault.WithHint(fmt.Errorf("%w: %q still has sessions, from %s", driver.ErrRefused, id,
				strings.Join(hosts[:min(len(hosts), maxNamed)], ", ")),
				"restart what holds them; SHOW PROCESSLIST shows them, and KILL ends one")
		}
	}
	nobodys := secret.NewValue([]byte(rand.Text()))
	hash, err := hashOf(a, nobodys, rand.Text())
	if err != nil {
		return err
	}
	return s.alter(ctx, a, hash, " ACCOUNT LOCK")
}

// spare leaves the user alone as whom the store's current value logs in. If a person has put that value there while the
// run made another for the same user, the run's is gone when the current one works.
func (d *accounts) spare(ctx context.Context, current driver.Login, retires bool) error {
	if !retires {
		s, err := d.connect(ctx, current)
		if err == nil {
			s.close()
			return nil
		}
		if !driver.Certain(err) {
			return err
		}
	}
	return driver.NotCurrent(current.User)
}

// take takes one of the two passwords of a user away. If it is the first one, the other has to take its place before.
func (d *accounts) take(ctx context.Context, job driver.Job, id string) error {
	user := d.s.Users[0]
	s, err := d.admin(ctx, user)
	if err != nil {
		return err
	}
	defer s.close()
	a, err := s.read(ctx, user)
	if err != nil || a == nil {
		return err
	}
	first, second := idOf(a.hash) == id, a.second != "" && idOf(a.second) == id
	current := d.users().Current(job).Password
	switch {
	case first && matches(a.hash, current), second && matches(a.second, current):
		return driver.NotCurrent(user)
	case second:
		return s.discard(ctx, user)
	case first && a.second == "":
		return fault.WithHint(fmt.Errorf("%w: it is the only password of %q", driver.ErrRefused, user),
			"put the password in use into the store first")
	case first:
		if err := s.alter(ctx, a, a.second, ""); err != nil {
			return err
		}
		return s.discard(ctx, user)
	case a.second == a.hash: // an attempt that was lost between the two statements
		return s.discard(ctx, user)
	}
	return nil
}

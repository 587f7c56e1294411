package postgres

import (
	"context"
	"fmt"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"

	"github.com/jackc/pgx/v5"
)

// roles are the users of one driver. It keeps nothing.
type roles struct {
	s  *Settings
	on driver.Host
}

func (d *roles) users() driver.Users { return driver.Users{Account: d.s.Account, Names: d.s.Users} }

// Capabilities implements driver.Driver. With two users a key is a user that can log in.
func (d *roles) Capabilities() driver.Capabilities {
	if d.users().Turns() {
		return driver.Capabilities{Lists: true, Deletes: true, MaxKeys: 2}
	}
	return driver.Capabilities{MaxKeys: 1, NeedsOld: d.s.AdminUser == ""}
}

// Create implements driver.Driver: it makes a password up for the user whose turn it is.
func (d *roles) Create(_ context.Context, job driver.Job) (driver.Made, error) {
	user, err := d.users().Next(job.Current)
	if err != nil {
		return driver.Made{}, fmt.Errorf("%w: %w", driver.ErrRefused, err)
	}
	value, err := d.s.MakeUp(user, len(d.s.Users))
	return driver.Made{Key: driver.Key{ID: user, Label: job.Label()}, Value: value}, err
}

// Set implements driver.Driver.
func (d *roles) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	login, err := d.users().Login(made.Value)
	if err != nil {
		return err
	}
	if !d.users().Turns() {
		return d.replace(ctx, job.Current, made.Value)
	}
	active := d.users().Current(job).User
	if active == login.User || !d.users().Has(login.User) {
		return fault.WithHint(fmt.Errorf("%w: the store's current value logs in as %q by now, or users has other names",
			driver.ErrRefused, login.User), "rotate again")
	}
	conn, err := d.admin(ctx)
	if err != nil {
		return err
	}
	return d.in(ctx, conn, func(tx pgx.Tx) error { return d.letIn(ctx, tx, job.Label(), login, active) })
}

// replace gives the one user the password of to, whose password is that of from.
func (d *roles) replace(ctx context.Context, from, to secret.Value) error {
	next, err := d.users().Login(to)
	if err != nil {
		return err
	}
	if !from.IsZero() {
		if was, err := d.users().Login(from); err != nil || !isPrintable(was.Password) {
			return fault.WithHint(fmt.Errorf("%w: the current password could not be set again if this went wrong: "+
				"it has characters beyond printable ASCII, or the value has not the form of template",
				driver.ErrRefused), "set a password of ASCII by hand, and put it into the store")
		}
	}
	conn, done, err := d.enter(ctx, from, to)
	if err != nil || done {
		return err
	}
	return d.in(ctx, conn, func(tx pgx.Tx) error { return d.setPassword(ctx, tx, next, "") })
}

// enter logs in as the administrator. Without one it logs in as the user itself, with from; if the server takes that no
// more but to, an earlier attempt has come to the end.
func (d *roles) enter(ctx context.Context, from, to secret.Value) (conn *pgx.Conn, done bool, err error) {
	if d.s.AdminUser != "" {
		conn, err = d.admin(ctx)
		return conn, false, err
	}
	login, err := d.users().Login(from)
	if err != nil {
		return nil, false, err
	}
	if conn, err = d.connect(ctx, login); !refusesLogin(err) {
		return conn, false, d.explain(err)
	}
	if next, unread := d.users().Login(to); unread == nil {
		there, again := d.connect(ctx, next)
		if again == nil {
			closeConn(ctx, there)
			return nil, true, nil
		}
		if !refusesLogin(again) {
			return nil, false, d.explain(again)
		}
	}
	return nil, false, fmt.Errorf("logging in with the current value: %w", d.explain(err))
}

// Test implements driver.Driver.
func (d *roles) Test(ctx context.Context, _ driver.Job, made driver.Made) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	login, err := d.users().Login(made.Value)
	if err != nil {
		return err
	}
	conn, err := d.connect(ctx, login)
	if err != nil {
		return fmt.Errorf("logging in as %q: %w", login.User, d.explain(err))
	}
	defer closeConn(ctx, conn)
	var acts string
	if err := conn.QueryRow(ctx, "SELECT current_user").Scan(&acts); err != nil {
		return fmt.Errorf("asking who %q is: %w", login.User, d.explain(err))
	}
	if d.s.Owner != "" && acts != d.s.Owner {
		return fmt.Errorf("%w: %q logs in, and acts as %q and not as %q", driver.ErrRefused, login.User, acts,
			d.s.Owner)
	}
	return nil
}

// Undo implements driver.Driver.
func (d *roles) Undo(ctx context.Context, job driver.Job, made driver.Made) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if d.users().Turns() || job.Current.IsZero() {
		return nil // it is deleted; or there is none that could be accepted again
	}
	if made.Value.IsZero() {
		return nil
	}
	return d.replace(ctx, made.Value, job.Current)
}

// Keys implements driver.Driver: the users that can log in, or still are.
func (d *roles) Keys(ctx context.Context, _ driver.Job) (keys []driver.Key, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := d.admin(ctx)
	if err != nil {
		return nil, err
	}
	err = d.in(ctx, conn, func(tx pgx.Tx) error {
		keys, err = d.alive(ctx, tx)
		return err
	})
	return keys, err
}

// Delete implements driver.Driver. Until its sessions have ended, the old user is not retired.
func (d *roles) Delete(ctx context.Context, job driver.Job, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if !d.users().Has(id) {
		return fault.WithHint(fmt.Errorf("%w: %q is not one of users", driver.ErrRefused, id),
			"take its password away by hand")
	}
	if d.users().Current(job).User == id {
		return d.spare(ctx, job, id)
	}
	conn, err := d.admin(ctx)
	if err != nil {
		return err
	}
	return d.in(ctx, conn, func(tx pgx.Tx) error { return d.shutOut(ctx, tx, id, id == job.OldKey) })
}

// spare leaves the user alone as whom the store's current value logs in. If someone has put that value there while the
// run made another for the same user, the run's is gone when the current one works.
func (d *roles) spare(ctx context.Context, job driver.Job, id string) error {
	if id != job.OldKey {
		login, err := d.users().Login(job.Current)
		if err != nil {
			return err
		}
		conn, err := d.connect(ctx, login)
		if err == nil {
			closeConn(ctx, conn)
			return nil
		}
		if !refusesLogin(err) {
			return d.explain(err)
		}
	}
	return driver.NotCurrent(id)
}

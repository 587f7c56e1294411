// Package rekey puts n8n's database under another master key: every value that the old key protects is under the new
// one afterwards, or nothing has changed.
//
// Run does it in one transaction: guard (no n8n at work), a sealed backup of every row that changes, each value
// decrypted, encrypted, decrypted again and compared, then all of it read back from the database with the new key
// alone, and only then the commit. Plan says what Run would do; Undo takes a backup back. Where values lie is package
// n8n/database's knowledge, how they are encrypted n8n/cipher's, and which key opens them masterkey/survey's.
//
// Invariant: what could be read before can be read afterwards, proved value by value before the commit; a crash at any
// moment leaves the old state or the new one, never a mixture; no report or error holds a key, a plaintext or a
// ciphertext.
package rekey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// Options are what is to be done.
type Options struct {
	Old, New secret.Value // normalised, as n8n uses them (package n8n/environment)

	// Leaked replaces what the old key could have given away too: the data keys, and the secrets that sign sessions,
	// API keys and links.
	Leaked bool

	KeepUnreadable bool     // values that no key opens stay as they are; otherwise they stop the run
	Accept         []string // "table.column": ciphertext there is not n8n's, whatever it looks like

	Backup string // a file that is not there yet

	Active bool          // do it although n8n seems to be at work
	Quiet  time.Duration // how long nothing must have happened; 0 is two minutes

	Progress func(Progress) // called now and then, if set, by one goroutine
	Now      func() time.Time
}

// Progress is how far a run is.
type Progress struct {
	Stage       string // "reading", "writing", "proving", "restoring", …
	Location    string
	Done, Total int64 // rows of this stage
	Elapsed     time.Duration
}

// Report is what was done, or by Plan what would be.
type Report struct {
	Database string           `json:"database"`
	Edition  database.Edition `json:"edition"`
	Survey   survey.Survey    `json:"survey"`  // masters: 0 is the old key, 1 the new
	Changed  int              `json:"changed"` // values encrypted again
	// values that stay: under the new master key, or a data key that stays
	Already  int                `json:"already"`
	Kept     int                `json:"kept"`     // values that no key opens, left as they are
	Keys     []KeyChange        `json:"keys"`     // rows of deployment_key
	Exposed  []database.Finding `json:"exposed"`  // what n8n keeps in the clear beside it
	Derived  bool               `json:"derived"`  // the signing secrets derive from the key: they change with it
	Warnings []string           `json:"warnings"` // what would have stopped a run
	Backup   string             `json:"backup"`   // its file
	// on ciphers and comparisons; beside the two below, not before or after them
	Crypto    time.Duration `json:"crypto_ns"`
	Storing   time.Duration `json:"database_ns"` // waited for the database
	Sealing   time.Duration `json:"backup_ns"`   // on the backup
	Took      time.Duration `json:"took_ns"`     // the whole run
	Estimated time.Duration `json:"estimated_ns,omitempty"`
}

// Run changes the master key. The error tells how far it came; unless it is ErrUncertain, a failed run has changed
// nothing. Errors: fault.ExitKeyMismatch when the old key opens nothing, fault.ExitLocked when n8n is at work,
// fault.ExitFindings when something is in the way that a person has to decide.
func Run(ctx context.Context, db *database.DB, o Options) (Report, error) {
	o = o.complete()
	began := o.Now()
	if err := errors.Join(vacant(o.Backup), refuseAtWork(ctx, db, o)); err != nil {
		return Report{}, err
	}
	tx, err := db.Begin(ctx, true)
	if err != nil {
		return Report{}, fmt.Errorf("changing the master key: %w", err)
	}
	r := &run{o: o, tx: tx, began: began, report: Report{Database: db.Name()}, sum: newDigest()}
	if err := r.describe(ctx, db); err != nil {
		return r.report, errors.Join(err, tx.Rollback())
	}
	if err := r.do(ctx, db); err != nil {
		return r.report, errors.Join(err, tx.Rollback(), r.discardBackup())
	}
	if err := spent(&r.report.Storing, tx.Commit); err != nil {
		if err = r.settle(ctx, db, err); err != nil {
			return r.report, err
		}
	}
	r.report.Took = o.Now().Sub(began)
	return r.report, nil
}

func (o Options) complete() Options {
	if o.Quiet == 0 {
		o.Quiet = 2 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

// ErrUncertain is a commit without an answer: the database is in the old state or in the new one, whole either way.
var ErrUncertain = errors.New("the database did not say whether it has committed")

// settle finds out what has become of a commit that failed. SQLite's is told by what the file says now; a server that
// was lost may still be at it, unless it says that it is done.
func (r *run) settle(ctx context.Context, db *database.DB, failed error) error {
	ctx = context.WithoutCancel(ctx)
	switch done, known := r.committed(ctx, db); {
	case known && done:
		return nil
	case known && db.Dialect() == database.SQLite:
		r.report.Backup = ""
		return fault.WithHint(errors.Join(fmt.Errorf("changing the master key: %w", failed), r.discardBackup()),
			firstOf(fault.HintOf(failed), "nothing was changed"))
	}
	return uncertain(failed, r.o.Backup)
}

func firstOf(hint, always string) string {
	if hint == "" {
		return always
	}
	return hint + "; " + always
}

// committed looks at a row that was changed.
func (r *run) committed(ctx context.Context, db *database.DB) (done, known bool) {
	if r.witness == nil {
		return false, false
	}
	tx, err := db.Begin(ctx, false)
	if err != nil {
		return false, false
	}
	defer func() { _ = tx.Rollback() }() // it was only read
	cell, found, err := tx.Get(ctx, r.witness.location, r.witness.row.Key)
	return cell != r.witness.row.Cell, err == nil && found
}

// witness is a row as it was.
type witness struct {
	location database.Location
	row      database.Row
}

func uncertain(err error, backup string) error {
	return fault.WithHint(fmt.Errorf("changing the master key: %w: %w", ErrUncertain, err),
		"`sallyport key verify --database …` with either key tells which one it is; the backup "+backup+" is kept")
}

// run is one change of the master key.
type run struct {
	o      Options
	tx     *database.Tx
	began  time.Time
	report Report

	masters []secret.Value  // the old key, then the new
	ring    *survey.Keyring // opens what is there, with the masters
	after   *survey.Keyring // the new key alone, with the rows of deployment_key as they will be
	write   writing
	keys    []keyStep
	file    *backupWriter
	witness *witness            // a row that is changed
	left    map[[32]byte]bool   // Undo: what the change had left as no key opened it
	alien   []survey.Unreadable // Undo: what no key opens, and the change had not left; the first of them
	sum     digest
	total   int64
}

// describe fills in what does not depend on keys.
func (r *run) describe(ctx context.Context, db *database.DB) (err error) {
	if r.report.Edition, err = db.Edition(ctx); err != nil {
		return fmt.Errorf("telling n8n's version: %w", err)
	}
	r.report.Derived = !r.report.Edition.DeploymentKeys
	if r.report.Exposed, err = db.Plaintext(ctx); err != nil {
		return fmt.Errorf("looking for what is in the clear: %w", err)
	}
	return nil
}

// do is everything within the transaction.
func (r *run) do(ctx context.Context, db *database.DB) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.elsewhere(ctx); err != nil {
		return err
	}
	var err error
	if r.file, err = createBackup(r.o, r.report.Database, r.o.Now()); err != nil {
		return err
	}
	if err := r.convertAll(ctx); err != nil {
		return err
	}
	if err := r.judge(); err != nil {
		return err
	}
	if err := r.applyKeys(ctx); err != nil {
		return err
	}
	if err := r.prove(ctx); err != nil {
		return err
	}
	if err := spent(&r.report.Sealing, func() error { return r.file.finish(ctx) }); err != nil {
		return err
	}
	r.report.Backup = r.o.Backup
	return guardAgain(ctx, db, r.o)
}

// prepare reads the rows of deployment_key, proves the old key on them, and decides what becomes of them.
func (r *run) prepare(ctx context.Context) error {
	rows, err := r.tx.DeploymentKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading the data keys: %w", err)
	}
	r.masters = []secret.Value{r.o.Old, r.o.New}
	if r.ring, err = survey.NewKeyring(rows, r.masters...); err != nil {
		return err
	}
	if err := r.proveOld(); err != nil {
		return err
	}
	if r.keys, err = planKeys(r.ring, r.o); err != nil {
		return err
	}
	for _, step := range r.keys {
		r.report.Keys = append(r.report.Keys, step.change())
	}
	if r.after, err = survey.NewKeyring(afterwards(r.keys), r.o.New); err != nil {
		return err
	}
	r.write = newWriting(r.keys, r.o.New)
	r.total, err = r.count(ctx)
	return err
}

// proveOld wants the old key, or the new one, to open the rows that only a right key opens.
func (r *run) proveOld() error {
	var closed []string
	opened := 0
	for _, row := range r.ring.Rows {
		switch {
		case row.Proves():
			opened++
		case !row.Opens():
			closed = append(closed, row.Type)
		}
	}
	switch {
	case len(closed) == 0:
		return nil
	case opened == 0:
		return wrongKey(errors.New("the old key opens no row of deployment_key"))
	}
	err := fmt.Errorf("reading deployment_key: neither key opens the rows %q", closed)
	return fault.WithHint(fault.WithExit(err, fault.ExitFindings),
		"n8n does not start with them either: find the key they were wrapped under, or restore the table from a backup")
}

func wrongKey(err error) error {
	return fault.WithHint(fault.WithExit(fmt.Errorf("changing the master key: %w", err), fault.ExitKeyMismatch),
		"`sallyport key verify --database …` tells which key the database needs; look for it in N8N_ENCRYPTION_KEY "+
			"of a node that works, or in its .n8n/config")
}

func (r *run) count(ctx context.Context) (int64, error) {
	locations, err := r.tx.Locations(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing what is encrypted: %w", err)
	}
	var total int64
	for _, p := range locations {
		n, err := r.tx.Count(ctx, p)
		if err != nil {
			return 0, fmt.Errorf("counting %s: %w", p, err)
		}
		total += n
	}
	return total, nil
}

// rows walks over a place; what fn takes does not count as the database's time.
func (r *run) rows(ctx context.Context, p database.Location, fn func([]database.Row) error) error {
	var inside time.Duration
	began := time.Now()
	err := r.tx.Rows(ctx, p, func(rows []database.Row) error {
		return spent(&inside, func() error { return fn(rows) })
	})
	r.report.Storing += time.Since(began) - inside
	return err
}

// spent adds the time that fn takes.
func spent(on *time.Duration, fn func() error) error {
	began := time.Now()
	err := fn()
	*on += time.Since(began)
	return err
}

// elsewhere stops the run when a key opens ciphertext that lies outside the known places.
func (r *run) elsewhere(ctx context.Context) error {
	r.tell("looking for ciphertext elsewhere", "", 0, 0)
	if err := spent(&r.report.Storing, func() error {
		return r.report.Survey.LookElsewhere(ctx, r.tx, r.ring)
	}); err != nil {
		return err
	}
	return r.unknown()
}

// unknown is the error that names the columns with strays that were not accepted.
func (r *run) unknown() error {
	var names []string
	for _, s := range r.report.Survey.Strays {
		if !slices.Contains(r.o.Accept, s.Name()) {
			names = append(names, s.Name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fault.WithHint(
		fault.WithExit(fmt.Errorf("changing the master key: there are values under it in %s, which this Sallyport "+
			"does not know", strings.Join(names, ", ")), fault.ExitFindings),
		"a newer Sallyport may know them; --accept "+strings.Join(names, ",")+
			" leaves them as they are, to be unreadable afterwards")
}

func (r *run) tell(stage, location string, done, total int64) {
	r.o.Progress(Progress{Stage: stage, Location: location, Done: done, Total: total, Elapsed: r.o.Now().Sub(r.began)})
}

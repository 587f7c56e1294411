package rekey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// Undone tells what Undo did.
type Undone struct {
	Report

	Restored int `json:"restored"` // rows that are to the byte what they were
	Gone     int `json:"gone"`     // rows of the backup that n8n has deleted since
	Since    int `json:"since"`    // rows that n8n has changed since: they keep what they say, under the old key again

	Old secret.Value `json:"-"` // the key that is active again, which the backup holds
	New secret.Value `json:"-"` // the one that was taken back
}

// Undo takes back the change that wrote the backup o.Backup: rows that nobody has touched since are as they were, to
// the byte; what n8n has written since is put under the old key. o.Old or o.New, or both, open the backup. It has the
// guard, the single transaction and the proof of Run.
//
// A database on which the change is not the last one, or another database, is refused: fault.ExitKeyMismatch, or
// fault.ExitFindings where only some values are under other keys.
func Undo(ctx context.Context, db *database.DB, o Options) (Undone, error) {
	o = o.complete()
	began := o.Now()
	b, err := openBackup(o.Backup, o.New, o.Old)
	if err != nil {
		return Undone{}, fmt.Errorf("reading the backup %q: %w", o.Backup, err)
	}
	defer b.close()
	if err := refuseAtWork(ctx, db, o); err != nil {
		return Undone{}, err
	}
	tx, err := db.Begin(ctx, true)
	if err != nil {
		return Undone{}, fmt.Errorf("taking the change back: %w", err)
	}
	u := &undo{run: run{
		o: o, tx: tx, began: began, report: Report{Database: db.Name(), Backup: o.Backup},
		sum: newDigest(),
	}, backup: b}
	if err := u.back(ctx, db); err != nil {
		return u.done, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		if err = u.settle(ctx, db, err); err != nil {
			return u.done, err
		}
	}
	u.report.Took = o.Now().Sub(began)
	u.done.Report, u.done.Old, u.done.New = u.report, u.o.New, u.o.Old // back's new is the change's old
	return u.done, nil
}

// undo is a run in the other direction: what is new there is old here.
type undo struct {
	run

	backup    *backup
	done      Undone
	locations map[string]database.Location
	kept      map[string]keyRecord // rows of deployment_key in the backup, by id
	batch     []rowRecord
	shown     int64
}

// restoreBatch is how many rows are restored at once.
const restoreBatch = 500

func (u *undo) back(ctx context.Context, db *database.DB) error {
	if err := u.describe(ctx, db); err != nil {
		return err
	}
	if err := u.restore(ctx); err != nil {
		return err
	}
	if err := u.planBack(ctx); err != nil {
		return err
	}
	if err := u.applyBack(ctx); err != nil {
		return err
	}
	if err := u.convertAll(ctx); err != nil { // what the backup does not have
		return err
	}
	if err := u.judge(); err != nil {
		return err
	}
	if err := u.removeAdded(ctx); err != nil {
		return err
	}
	if err := u.prove(ctx); err != nil {
		return err
	}
	return guardAgain(ctx, db, u.o)
}

// restore puts every row of the backup back that is as the change left it.
func (u *undo) restore(ctx context.Context) error {
	locations, err := u.tx.Locations(ctx)
	if err != nil {
		return fmt.Errorf("listing what is encrypted: %w", err)
	}
	u.locations, u.kept, u.left = make(map[string]database.Location), make(map[string]keyRecord),
		make(map[[sha256.Size]byte]bool)
	for _, p := range locations {
		u.locations[p.String()] = p
	}
	if _, err = u.backup.each(ctx, func(r record) error { return u.take(ctx, r) }); err == nil {
		err = u.flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("restoring from the backup %q: %w", u.o.Backup, err)
	}
	if u.o.Old.IsZero() || u.o.New.IsZero() {
		return fmt.Errorf("restoring from the backup %q: %w", u.o.Backup, errIncomplete)
	}
	return nil
}

func (u *undo) take(ctx context.Context, r record) error {
	switch {
	case r.Masters != nil: // from here on, old is what is left and new what is wanted
		u.o.Old, u.o.New = secret.NewValue(r.Masters.New), secret.NewValue(r.Masters.Old)
	case len(r.Left) == sha256.Size:
		u.left[[sha256.Size]byte(r.Left)] = true
	case r.Key != nil:
		u.kept[r.Key.ID] = *r.Key
	case r.Row != nil:
		if len(u.batch) == restoreBatch || len(u.batch) > 0 && u.batch[0].Location != r.Row.Location {
			if err := u.flush(ctx); err != nil {
				return err
			}
		}
		u.batch = append(u.batch, *r.Row)
	}
	return nil
}

func (u *undo) flush(ctx context.Context) error {
	if len(u.batch) == 0 {
		return nil
	}
	p, ok := u.locations[u.batch[0].Location]
	if !ok {
		return anotherState(fmt.Errorf("this database has no %s", u.batch[0].Location), u.backup.header)
	}
	var rows []database.Row
	for _, rec := range u.batch {
		cell, found, err := u.tx.Get(ctx, p, rec.Key)
		switch {
		case err != nil:
			return err
		case !found:
			u.done.Gone++
		case cell == rec.Old:
			u.done.Restored++
		case sumOf(cell) == rec.New:
			u.done.Restored++
			rows = append(rows, database.Row{Key: rec.Key, Cell: rec.Old})
			u.witness = &witness{p, database.Row{Key: rec.Key, Cell: cell}}
		default:
			u.done.Since++
		}
	}
	u.shown += int64(len(u.batch))
	u.batch = u.batch[:0]
	u.tell("restoring", p.String(), u.shown, 0)
	if len(rows) == 0 {
		return nil
	}
	return u.tx.Update(ctx, p, rows)
}

// planBack decides what becomes of each row of deployment_key.
func (u *undo) planBack(ctx context.Context) error {
	rows, err := u.tx.DeploymentKeys(ctx)
	if err != nil {
		return fmt.Errorf("reading the data keys: %w", err)
	}
	u.masters = u.knownMasters()
	if u.ring, err = survey.NewKeyring(rows, u.masters...); err != nil {
		return err
	}
	for _, row := range u.ring.Rows {
		switch {
		case !row.Opens():
			return anotherState(
				fmt.Errorf("restoring the row %q of deployment_key (%s): it is under neither key of the backup", row.ID,
					row.Type), u.backup.header)
		case u.isAdded(row.ID):
			continue
		}
		step := u.stepBack(row)
		u.keys = append(u.keys, step)
		u.report.Keys = append(u.report.Keys, step.change())
	}
	if u.after, err = survey.NewKeyring(afterwards(u.keys), u.o.New); err != nil {
		return err
	}
	u.write, err = u.writingBack()
	if err != nil {
		return err
	}
	u.total, err = u.count(ctx)
	return err
}

func (u *undo) isAdded(id string) bool { return u.kept[id].Done == keyAdded }

// stepBack restores a row of the backup, or puts one that n8n has made since under the old key.
func (u *undo) stepBack(row survey.KeyRow) keyStep {
	step := keyStep{before: row.DeploymentKeyRow, after: row.DeploymentKeyRow, secret: row.Secret, done: keySame}
	rec, known := u.kept[row.ID]
	if known {
		old := rec.row()
		step.after.Status = old.Status
		if plain, _, err := old.Unwrap(u.o.New); err == nil {
			step.after.Value, step.secret, step.done = old.Value, plain, keyReplaced
			return step
		} // it was under the new key before the change
	}
	switch {
	// what n8n writes without a prefix it has to read
	case isDataKey(row.DeploymentKeyRow) && row.Algorithm == cipher.AlgorithmCBC:
		step.secret, step.done = u.o.New, keyReplaced
		step.after.Value = hold(row, step.secret, u.o.New)
	case row.Master == 0 && row.Wrapping != cipher.Plain && row.Wrapping != cipher.RawHex:
		step.after.Value, step.done = hold(row, row.Secret, u.o.New), keyRewrapped
	case step.after.Status != row.Status:
		step.done = keyReplaced
	}
	return step
}

// knownMasters are the keys of the change, and what the legacy data key was before it: values without a prefix can be
// under that.
func (u *undo) knownMasters() []secret.Value {
	masters := []secret.Value{u.o.Old, u.o.New}
	for _, rec := range u.kept {
		old := rec.row()
		if plain, _, err := old.Unwrap(u.o.New); err == nil && isDataKey(old) && old.Algorithm == cipher.AlgorithmCBC &&
			!plain.Equal(u.o.New) {
			masters = append(masters, plain)
		}
	}
	return masters
}

// judge stops an Undo that would leave values behind which nobody can read, and which the change has not met.
func (u *undo) judge() error {
	t := u.report.Survey.Totals()
	switch {
	case len(u.alien) == 0 || u.o.KeepUnreadable && t.Readable() > 0:
		u.report.Kept = t.Unreadable
		return nil
	case t.Readable() == 0:
		return anotherState(errors.New("no value in this database is under a key of the backup"), u.backup.header)
	}
	first := u.alien[0]
	err := fmt.Errorf("taking the change back: no key of the backup opens %d values, the first of them %s of row %s "+
		"(%s)", len(u.alien), first.Location, first.Row, first.Why)
	return fault.WithHint(fault.WithExit(err, fault.ExitFindings),
		"if a later change has put them under another key, take that one back first; --keep-unreadable leaves them "+
			"as they are")
}

// anotherState is a database to which the backup does not lead back.
func anotherState(err error, h header) error {
	return fault.WithHint(fault.WithExit(fmt.Errorf("%w: is this the database of the backup (%s, %s)?", err, h.Database,
		h.Created.Format(time.RFC3339)), fault.ExitKeyMismatch),
		"if a later change has put it under another key, take that one back first, with its own backup; nothing was "+
			"changed")
}

// writingBack encrypts as the old state would have: without a prefix under the old key, and where a data key goes away
// that the change had added, under one that stays.
func (u *undo) writingBack() (writing, error) {
	w := writing{plain: cipher.NewCBC(u.o.New), keys: make(map[string]cipher.Cipher), instead: make(map[string]string)}
	stays := ""
	for _, step := range u.keys {
		if !isDataKey(step.after) {
			continue
		}
		c, err := cipher.New(step.after.Algorithm, step.secret)
		if err != nil {
			return w, fmt.Errorf("reading the row %q of deployment_key: %w", step.after.ID, err)
		}
		w.keys[step.after.ID] = c
		switch {
		case step.after.Algorithm == cipher.AlgorithmCBC:
			w.plain = c
			w.instead[step.after.ID] = step.after.ID
		case stays == "" || step.after.Status == active:
			stays = step.after.ID
		}
	}
	for id := range u.kept {
		if u.isAdded(id) && stays != "" {
			w.instead[id] = stays
		}
	}
	return w, nil
}

// applyBack writes the rows; what the change had added is out of use first, since there is one active row per type.
func (u *undo) applyBack(ctx context.Context) error {
	for _, row := range u.ring.Rows {
		if u.isAdded(row.ID) && row.Status == active {
			if err := u.tx.SetDeploymentKeyStatus(ctx, row.ID, inactive); err != nil {
				return fmt.Errorf("restoring deployment_key: %w", err)
			}
		}
	}
	for i, step := range u.keys {
		if step.done == keySame {
			continue
		}
		if step.after.Status == active && u.othersActive(i) { // n8n has rotated since
			step.after.Status = step.before.Status
			u.keys[i] = step
		}
		if err := applyKey(ctx, u.tx, step); err != nil {
			return fmt.Errorf("restoring the row %q of deployment_key (%s): %w", step.after.ID, step.after.Type, err)
		}
	}
	return nil
}

// othersActive tells whether another row of the same type, one that the backup does not have, is in use.
func (u *undo) othersActive(i int) bool {
	for j, step := range u.keys {
		_, known := u.kept[step.after.ID]
		if j != i && !known && step.after.Type == u.keys[i].after.Type && step.after.Status == active {
			return true
		}
	}
	return false
}

func (u *undo) removeAdded(ctx context.Context) error {
	for _, row := range u.ring.Rows {
		if !u.isAdded(row.ID) {
			continue
		}
		if err := u.tx.RemoveDeploymentKey(ctx, row.ID); err != nil {
			return fmt.Errorf("removing the row %q of deployment_key: %w", row.ID, err)
		}
	}
	return nil
}

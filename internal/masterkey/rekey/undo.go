package rekey

import (
	"context"
	"errors"
	"fmt"

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
}

// Undo takes back the change that wrote the backup o.Backup: rows that nobody has touched since are as they were, to the byte;
// what n8n has written since is put under the old key. o.Old or o.New, or both, open the backup. It has the guard, the single
// transaction and the proof of Run.
func Undo(ctx context.Context, db *database.DB, o Options) (Undone, error) {
	o = o.complete()
	began := o.Now()
	b, err := openBackup(o.Backup, o.New, o.Old)
	if err != nil {
		return Undone{}, fmt.Errorf("reading the backup %q: %w", o.Backup, err)
	}
	defer b.close()
	if err := guard(ctx, db, o); err != nil {
		return Undone{}, err
	}
	tx, err := db.Begin(ctx, true)
	if err != nil {
		return Undone{}, fmt.Errorf("taking the change back: %w", err)
	}
	u := &undo{run: run{o: o, tx: tx, began: began, report: Report{Database: db.Name(), Backup: o.Backup}, sum: newDigest()}, backup: b}
	if err := errors.Join(u.describe(ctx, db), u.back(ctx)); err != nil {
		return u.done, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return u.done, uncertain(err, o.Backup)
	}
	u.report.Took = o.Now().Sub(began)
	u.done.Report = u.report
	return u.done, nil
}

// undo is a run in the other direction: what is new there is old here.
type undo struct {
	run

	backup *backup
	done   Undone
	places map[string]database.Place
	kept   map[string]keyRecord // rows of deployment_key in the backup, by id
	batch  []rowRecord
	shown  int64
}

// restoreBatch is how many rows are restored at once.
const restoreBatch = 500

func (u *undo) back(ctx context.Context) error {
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
	if err := u.removeAdded(ctx); err != nil {
		return err
	}
	return u.prove(ctx)
}

// restore puts every row of the backup back that is as the change left it.
func (u *undo) restore(ctx context.Context) error {
	places, err := u.tx.Places(ctx)
	if err != nil {
		return fmt.Errorf("listing what is encrypted: %w", err)
	}
	u.places, u.kept = make(map[string]database.Place), make(map[string]keyRecord)
	for _, p := range places {
		u.places[p.String()] = p
	}
	_, err = u.backup.each(ctx, u.backup.stream, func(r record) error { return u.take(ctx, r) })
	if err = errors.Join(err, u.flush(ctx)); err != nil {
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
	case r.Key != nil:
		u.kept[r.Key.ID] = *r.Key
	case r.Row != nil:
		if len(u.batch) == restoreBatch || len(u.batch) > 0 && u.batch[0].Place != r.Row.Place {
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
	p, ok := u.places[u.batch[0].Place]
	if !ok {
		return fmt.Errorf("this database has no %s: is it the one the backup is of (%s)?", u.batch[0].Place, u.backup.header.Database)
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
	if u.ring, err = survey.NewKeyring(rows, u.o.Old, u.o.New); err != nil {
		return err
	}
	for _, row := range u.ring.Rows {
		if u.isAdded(row.ID) {
			continue
		}
		step, err := u.stepBack(row)
		if err != nil {
			return err
		}
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
	u.o.KeepUnreadable = true // they were no better before
	u.total, err = u.count(ctx)
	return err
}

func (u *undo) isAdded(id string) bool { return u.kept[id].Done == keyAdded }

// stepBack restores a row of the backup, or puts one that n8n has made since under the old key.
func (u *undo) stepBack(row survey.KeyRow) (keyStep, error) {
	step := keyStep{before: row.DeploymentKeyRow, after: row.DeploymentKeyRow, secret: row.Secret, done: keySame}
	rec, known := u.kept[row.ID]
	switch {
	case known:
		old := rec.row()
		plain, _, err := old.Unwrap(u.o.New)
		if err != nil {
			return step, fmt.Errorf("restoring the row %q of deployment_key (%s): %w", row.ID, row.Type, err)
		}
		step.after.Value, step.after.Status, step.secret, step.done = old.Value, old.Status, plain, keyReplaced
	case !row.Opens():
		return step, fmt.Errorf("restoring the row %q of deployment_key (%s): neither key opens it", row.ID, row.Type)
	case row.Master == 0 && row.Wrapping != cipher.Plain && row.Wrapping != cipher.RawHex:
		step.after.Value, step.done = hold(row, row.Secret, u.o.New), keyRewrapped
	}
	return step, nil
}

// writingBack encrypts as the old state would have: without a prefix under the old key, and where a data key goes away that the
// change had added, under one that stays.
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
			w.instead[step.after.ID] = step.after.ID
		case stays == "" || step.after.Status == active:
			stays = step.after.ID
		}
	}
	for id := range u.kept {
		if u.isAdded(id) {
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

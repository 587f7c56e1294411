package rekey

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
)

// Plan tells what Run would do: every value counted, those that no key opens named, ciphertext outside the known places
// looked for, and what else would stop it as warnings. It writes nothing, and n8n may be at work.
func Plan(ctx context.Context, db *database.DB, o Options) (Report, error) {
	o = o.complete()
	began := o.Now()
	tx, err := db.Begin(ctx, false)
	if err != nil {
		return Report{}, fmt.Errorf("planning the change of the master key: %w", err)
	}
	r := &run{o: o, tx: tx, began: began, report: Report{Database: db.Name()}}
	err = r.plan(ctx, db)
	r.report.Took = o.Now().Sub(began)
	return r.report, errors.Join(err, tx.Rollback())
}

func (r *run) plan(ctx context.Context, db *database.DB) error {
	if err := r.describe(ctx, db); err != nil {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	began := r.o.Now()
	var done int64
	var err error
	r.report.Survey, err = survey.Take(ctx, r.tx, r.ring, 2, func(rows int) {
		done += int64(rows)
		r.tell("reading", "", done, r.total)
	})
	if err != nil {
		return err
	}
	r.report.Estimated = estimate(r.o.Now().Sub(began))
	t := r.report.Survey.Totals()
	r.report.Changed, r.report.Already = t.Masters[0], t.Masters[1]
	if r.o.Leaked {
		r.report.Changed += t.DataKeys
	} else {
		r.report.Already += t.DataKeys
	}
	if err := r.report.Survey.LookElsewhere(ctx, r.tx, r.ring); err != nil {
		return err
	}
	return r.warn(ctx, db)
}

// estimate makes of the time of one reading that of a run: reading and decrypting, encrypting and comparing, writing to
// the database and to the backup, and reading back. The factor was measured with 1 KiB values (BenchmarkRun).
func estimate(reading time.Duration) time.Duration { return 5 * reading }

// warn says what would stop a run.
func (r *run) warn(ctx context.Context, db *database.DB) error {
	var warnings []string
	if !r.o.Active {
		var err error
		if warnings, err = atWork(ctx, db, r.o); err != nil {
			return err
		}
	}
	switch err := r.judge(); {
	case fault.ExitOf(err) == fault.ExitKeyMismatch:
		return err
	case err != nil:
		warnings = append(warnings, err.Error())
	}
	if err := r.unknown(); err != nil {
		warnings = append(warnings, err.Error()+": "+fault.HintOf(err))
	}
	r.report.Warnings = warnings
	return nil
}

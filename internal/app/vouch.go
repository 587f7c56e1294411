package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"sallyport/internal/database"
	"sallyport/internal/database/ledger"
	"sallyport/internal/fault"
	"sallyport/internal/rotation/approval"
	"sallyport/internal/rotation/run"
)

// ledgerDir is where the newest pages are kept beside the database, in the data directory.
const ledgerDir = "ledger"

// vouched is a package whose tables have a page.
type vouched struct {
	topic  string
	book   *ledger.Book
	adopt  func(context.Context, *sql.Tx) error
	accept func(context.Context) error
	check  func(context.Context) (ledger.Report, error)
}

func (s *State) vouched() []vouched {
	journal, runs, approvals := s.rotations(), s.secretRuns(), s.planApprovals()
	return []vouched{
		{
			topicTokens, s.Tokens.Ledger(), s.Tokens.Adopt, s.Tokens.Accept,
			func(ctx context.Context) (ledger.Report, error) {
				err := s.Tokens.Load(ctx)
				return s.Tokens.Report(), err
			},
		},
		{topicSecrets, s.Builtin.Ledger(), s.Builtin.Adopt, s.Builtin.Accept, s.Builtin.Check},
		{"rotation", s.journal, journal.Adopt, journal.Accept, journal.Check},
		{run.Topic, s.runs, runs.Adopt, runs.Accept, runs.Check},
		{approval.Topic, s.approvals, approvals.Adopt, approvals.Accept, approvals.Check},
	}
}

// vouch has the pages kept in the data directory, and puts the rows of a database from before there were pages on
// record, once.
//
// The rule: rows are adopted only where nothing says that this was done before. Two things say so. One is in the
// database: the form of the wrapped keyset, which nobody can make without the seal key. The other is beside it: any
// page in the data directory. So who can write the database gets rows adopted only by putting back a copy of it from
// before the upgrade, and only in a gate whose data directory is empty.
func (s *State) vouch(ctx context.Context) error {
	list := s.vouched()
	seen := false
	for _, one := range list {
		if err := one.book.Beside(filepath.Join(s.Config.Data, ledgerDir)); err != nil {
			return fault.WithHint(err,
				"this file keeps revoked tokens revoked, whatever the database says; restore it from a backup, or, "+
					"if you know that "+
					"nobody has altered it, move it away: then the database's own list counts")
		}
		seen = seen || one.book.Seen()
	}
	if s.sealer.Adopted() {
		return nil
	}
	adopted := false
	err := s.DB.WriteQuietly(ctx, "adopt", func(tx *sql.Tx) error {
		for _, one := range list {
			if err := s.DB.Claim(ctx, tx, one.topic); err != nil {
				return err
			}
		}
		already, err := s.sealer.Adopt(ctx, tx)
		if err != nil || already || seen {
			return err
		}
		for _, one := range list {
			if err := one.adopt(ctx, tx); err != nil {
				return err
			}
		}
		adopted = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("putting the rows of the database on record: %w", database.Explain(err))
	}
	s.sealer.AdoptionKept()
	s.adopted = adopted
	return nil
}

// Check reads every table that decides something, and returns a report of each.
func (s *State) Check(ctx context.Context) ([]ledger.Report, error) {
	var reports []ledger.Report
	var errs []error
	for _, one := range s.vouched() {
		report, err := one.check(ctx)
		reports, errs = append(reports, report), append(errs, err)
	}
	return reports, errors.Join(errs...)
}

// Accept has a database that was put back count, as far as its own lists vouch for it. What was revoked since then
// stays revoked. A person answers for it, who has put that on record.
func (s *State) Accept(ctx context.Context) error {
	var errs []error
	for _, one := range s.vouched() {
		errs = append(errs, one.accept(ctx))
	}
	return errors.Join(append(errs, s.Changed(ctx, topicTokens), s.Changed(ctx, topicSecrets))...)
}

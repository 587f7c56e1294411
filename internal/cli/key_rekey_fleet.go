package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/changeover"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/n8n/environment"
)

// rekeyFleet are the flags of key rekey --stop-fleet.
type rekeyFleet struct {
	name           string
	keyFiles       []string
	hold, giveUp   bool
	unproved       bool
	proof          keyFleet
	backupIsChosen bool
}

func (r *rekeyFleet) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.name, "stop-fleet", "",
		"stop this fleet of sallyport.yaml, change the key, and start it again; without key files, the old key is the "+
			"current version of --to, and the new one is made there")
	f.StringSliceVar(&r.keyFiles, "node-key-file", nil,
		"with --stop-fleet: file from which nodes read their key, to put the new one into")
	f.BoolVar(&r.hold, "hold", false,
		"with --stop-fleet: end before the nodes are started, to give them the new key; the command without it goes on")
	f.BoolVar(&r.giveUp, "give-up", false, "with --stop-fleet: start the nodes again where nothing was changed yet")
	f.BoolVar(&r.unproved, "unproved", false, "with --stop-fleet: do not ask the nodes for their key")
	proofFlags(f, &r.proof, "with --stop-fleet: ")
}

// unasked refuses flags that do nothing without --stop-fleet.
func (r *rekeyFleet) unasked() error {
	if len(r.keyFiles) > 0 || r.hold || r.giveUp || r.unproved {
		return usage(errors.New("--node-key-file, --hold, --give-up and --unproved go with --stop-fleet"),
			"name the fleet, or take them away")
	}
	return nil
}

// check refuses flags that do not go together.
func (f *rekeyFlags) checkFleet() error {
	switch {
	case f.undo == "" && f.to == "" && (f.oldFile == "" || f.newFile == ""):
		return usage(errors.New("a change needs both keys"),
			"give --old-key-file and --new-key-file, or --to STORE/NAME, whose current version is the old key")
	case f.to == "" && len(f.fleet.keyFiles) == 0 && !f.fleet.hold && !f.fleet.giveUp && !f.dryRun:
		return usage(errors.New("nothing says how the nodes get the new key"),
			"--to STORE/NAME where they read it from a store, --node-key-file FILE from a file; --hold to do it "+
				"yourself")
	case f.pinFile != "" && !f.fleet.hold:
		return usage(errors.New("the nodes need the variables of --pin-file before they are started"), "add --hold")
	case f.dryRun && (f.fleet.giveUp || f.fleet.hold):
		return usage(errors.New("--dry-run does nothing, and so there is nothing to give up or to hold"),
			"take one away")
	}
	return nil
}

// rekeyFleet changes the master key of a fleet.
func (e *env) rekeyFleet(ctx context.Context, f rekeyFlags) error {
	if err := f.checkFleet(); err != nil {
		return err
	}
	f.fleet.backupIsChosen = f.options.Backup != ""
	if err := e.rekeyOptions(ctx, &f); err != nil {
		return err
	}
	options, err := e.databaseOptions(f.database)
	if err != nil {
		return err
	}
	return e.withHead(ctx, func(s *app.State) error {
		fl, err := s.OpenFleet(ctx, f.fleet.name)
		if err != nil {
			return err
		}
		steps, err := e.rekeySteps(ctx, s, f, options)
		if err == nil {
			err = e.changeFleetKey(ctx, fl, steps)
		}
		return errors.Join(err, fl.Close())
	})
}

func (e *env) changeFleetKey(ctx context.Context, fl *app.Fleet, steps *rekeySteps) error {
	f := steps.flags
	if f.dryRun {
		return e.planFleetKey(ctx, fl, steps)
	}
	fl.Tell = e.fleetEvent
	c := &changeover.Change{
		Fleet: fl.Roller, Journal: fl.Files(), Steps: steps, At: f.to, Hold: f.fleet.hold, Tell: e.note,
		Backup: f.backup,
		Record: func(ctx context.Context) error { return record(ctx, steps.state, "key.rekey", fl.Fleet) },
	}
	if f.undo != "" {
		c.Undo = f.options.Backup
	}
	do := c.Run
	if f.fleet.giveUp {
		do = c.GiveUp
	}
	r, err := do(ctx)
	if err != nil && !errors.Is(err, changeover.ErrHeld) {
		return err
	}
	err = e.print(fleetRekeyed{r, steps.report, steps.undone, steps.after}, func(w io.Writer) error {
		return writeFleetRekeyed(w, r, steps)
	})
	if r.Phase == changeover.Complete && err == nil {
		err = c.Told(r)
	}
	return err
}

// backup is a file for the backup that is not there yet: an attempt that changed nothing may have left one.
func (f *rekeyFlags) backup() string {
	path := f.options.Backup
	if _, err := os.Lstat(path); err != nil {
		return path
	}
	return fmt.Sprintf("%s.%s", path, time.Now().UTC().Format("20060102T150405.000Z"))
}

// fleetRekeyed is what the command prints.
type fleetRekeyed struct {
	changeover.Record

	Report *rekey.Report `json:"report,omitempty"` // where this process has changed the database
	Undone *rekey.Undone `json:"undone,omitempty"` // where this process has taken a change back
	After  rekeyedAfter  `json:"after"`
}

// writeFleetUndone tells of a change that was taken back.
func writeFleetUndone(w io.Writer, r changeover.Record, s *rekeySteps) (err error) {
	if s.undone != nil {
		_, _ = cells(w, "the old master key is active again in %s\n%d rows are as they were, %d that n8n has changed "+
			"since are under the old key again\n", s.undone.Database, s.undone.Restored, s.undone.Since)
	}
	writeSettings(w, s.after, "the old key")
	if s.after.KeyFile != "" {
		_, _ = cells(w, "the old key: %s\n", s.after.KeyFile)
	}
	switch {
	case r.Phase == changeover.Starting:
		_, err = cells(w, "fleet %s stands still\n\nnext:\n"+
			"  1. give every node the old key, and remove .n8n/config from their volumes\n"+
			"  2. the same command without --hold starts the nodes, and asks each for its key\n", r.Fleet)
	case r.Phase != changeover.Complete:
		_, err = cells(w, "nothing was changed; fleet %s runs with the key that it had\n", r.Fleet)
	case s.flags.fleet.unproved:
		_, err = cells(w, "fleet %s is healthy; its nodes were not asked for their key\n", r.Fleet)
	default:
		_, err = cells(w, "fleet %s has the old key again, and the database needs it\n", r.Fleet)
	}
	return err
}

func writeFleetRekeyed(w io.Writer, r changeover.Record, s *rekeySteps) error {
	if s.flags.undo != "" {
		return writeFleetUndone(w, r, s)
	}
	if s.report != nil {
		_, _ = cells(w, "%s is under the new master key: %d values encrypted again, all read back and compared\n",
			s.report.Database, s.report.Changed)
		writeConsequences(w, *s.report, s.after, s.flags)
	}
	writeSettings(w, s.after, "the new key")
	if r.Store.Now != "" && r.Phase != changeover.Returned {
		_, _ = cells(w, "the new key is version %s of %s, the old one version %s\n", r.Store.Now, r.Store.At,
			orDash(r.Store.Before))
	}
	var err error
	switch r.Phase {
	case changeover.Complete:
		proved := "has the new key, and the database needs it"
		if s.flags.fleet.unproved {
			proved = "is healthy; its nodes were not asked for their key"
		}
		_, err = cells(w, "fleet %s %s\n", r.Fleet, proved)
	case changeover.Starting:
		_, err = cells(w, "fleet %s stands still\n\nnext:\n"+
			"  1. give every node the new key (`sallyport key install`), and remove .n8n/config from their volumes\n"+
			"  2. the same command without --hold starts the nodes, and asks each for its key\n", r.Fleet)
	default:
		_, err = cells(w, "nothing was changed; fleet %s runs with the old key\n", r.Fleet)
	}
	if r.Backup != "" && r.Phase != changeover.Returned {
		_, err = cells(w, "backup: %s; keep it until you are sure, then delete it\n", r.Backup)
	}
	return err
}

// planFleetKey tells what would be done.
func (e *env) planFleetKey(ctx context.Context, fl *app.Fleet, steps *rekeySteps) error {
	if err := steps.Keys(ctx, changeover.Stored{}); err != nil {
		return err
	}
	units, err := fl.Whole(ctx)
	if err != nil {
		return err
	}
	report, err := steps.plan(ctx)
	if err != nil {
		return err
	}
	if err := e.print(fleetPlan{report, units}, func(w io.Writer) error {
		for _, u := range units {
			_, _ = cells(w, "would stop and start: %s, %d nodes\n", u.Name, u.Want)
		}
		_, _ = fmt.Fprintln(w)
		return writeRekeyPlan(w, report, steps.flags)
	}); err != nil || len(report.Warnings) == 0 {
		return err
	}
	return inTheWay(report)
}

// fleetPlan is what --dry-run prints.
type fleetPlan struct {
	rekey.Report

	Units []fleet.Unit `json:"units"` // in the order in which they would be stopped
}

// checkFiles looks at what is to be written, before anything stops.
func (s *rekeySteps) checkFiles() error {
	if err := vacant("--pin-file", s.flags.pinFile); err != nil {
		return err
	}
	for _, path := range s.flags.settings {
		if err := rekey.CheckSettings(path, s.old, s.fresh); err != nil {
			return err
		}
	}
	for _, path := range s.flags.fleet.keyFiles {
		if err := rekey.CheckKeyFile(path, s.old, s.fresh); err != nil {
			return err
		}
	}
	if s.flags.undo != "" {
		return vacant("--old-key-out", s.flags.keyOut)
	}
	if s.flags.fleet.backupIsChosen {
		if err := vacant("--backup", s.flags.options.Backup); err != nil {
			return err
		}
	}
	probe, err := os.CreateTemp(filepath.Dir(s.flags.options.Backup), ".sallyport-*")
	if err != nil {
		return fault.WithHint(fmt.Errorf("looking whether the backup can be written: %w", err),
			"name a file in a folder that this user may write to, with --backup")
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// Install implements changeover.Steps.
func (s *rekeySteps) Install(ctx context.Context) error {
	var errs []error
	s.after.Settings, errs = changeSettings(s.flags.settings, s.old, s.fresh)
	for _, path := range s.flags.fleet.keyFiles {
		errs = append(errs, rekey.ChangeKeyFile(path, s.old, s.fresh))
	}
	return errors.Join(append(errs, s.pin(ctx), s.writeOld())...)
}

// writeOld writes the key that is active again into the file that was asked for, unless that was done.
func (s *rekeySteps) writeOld() (err error) {
	if s.flags.keyOut == "" {
		return nil
	}
	if _, err := os.Lstat(s.flags.keyOut); err != nil {
		if err := masterkey.WriteFile(s.flags.keyOut, s.fresh); err != nil {
			return err
		}
	}
	s.after.KeyFile, err = filepath.Abs(s.flags.keyOut)
	return err
}

// pin writes the variables that keep sessions alive, unless that was done.
func (s *rekeySteps) pin(ctx context.Context) error {
	if s.flags.pinFile == "" || s.flags.options.Leaked {
		return nil
	}
	edition := database.Edition{}
	err := s.with(ctx, false, func(db *database.DB) (err error) { edition, err = db.Edition(ctx); return err })
	if err != nil || edition.DeploymentKeys {
		return err
	}
	if _, err := os.Lstat(s.flags.pinFile); err != nil {
		if err := masterkey.WriteFile(s.flags.pinFile, rekey.Pins(s.old)); err != nil {
			return err
		}
	}
	s.after.PinFile, err = filepath.Abs(s.flags.pinFile)
	return err
}

// Prove implements changeover.Steps.
func (s *rekeySteps) Prove(ctx context.Context, u fleet.Unit, fresh bool) error {
	if s.flags.fleet.unproved {
		return nil
	}
	key, from := s.old, "the old key"
	if fresh {
		key, from = s.fresh, "the new key"
	}
	if s.flags.undo != "" {
		from = map[bool]string{true: "the old key", false: "the key that is taken back"}[fresh]
	}
	prover, err := valueProver(key, from, &s.flags.fleet.proof)
	if err == nil {
		err = prover.Prove(ctx, u)
	}
	if err != nil {
		return fault.WithHint(err, join(fault.HintOf(err), "--unproved does without asking nodes"))
	}
	return nil
}

func join(hint, more string) string {
	if hint == "" {
		return more
	}
	return hint + "; " + more
}

// sound refuses a new key that is a mistake.
func (s *rekeySteps) sound() error {
	f := s.flags
	f.options.Old, f.options.New = s.old, s.fresh
	if f.newFile == "" {
		f.newFile = f.to
	}
	return checkNewKey(&f)
}

// normal is a key as n8n uses it.
func normal(raw []byte) string { return environment.Normalize(environment.Trim(string(raw))) }

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/n8n/database"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// rekeyFlags are the flags of key rekey.
type rekeyFlags struct {
	database n8nDatabase
	oldFile  string
	newFile  string
	dryRun   bool
	undo     string
	pinFile  string
	settings []string
	to       string
	keyOut   string
	options  rekey.Options
	fleet    rekeyFleet
}

func (e *env) keyRekey() *cobra.Command {
	var f rekeyFlags
	cmd := &cobra.Command{
		Use:   "rekey --database URL --old-key-file FILE --new-key-file FILE",
		Short: "Put everything in n8n's database under another master key",
		Long: `Re-encrypts every value in n8n's database that the master key protects: credentials, MFA secrets, the settings of LDAP, SAML,
OIDC, source control and external secrets, overwrites, waiting executions, and the rows of deployment_key (docs/n8n-encrypted.md
lists the places). n8n 1.x and 2.x, on SQLite, PostgreSQL and MySQL or MariaDB.

Stop every n8n process first. The whole change is one transaction: each value is decrypted, encrypted, decrypted again and
compared, the old rows go into a sealed backup, everything is read back from the database with the new key alone, and only then
it is committed. Interrupted at any moment, the database is as it was. --dry-run counts everything and tells what would be in the
way; it may run while n8n does.

--leaked is for an old key that someone else has: it also makes new data keys and new signing secrets, which logs everybody out
and ends the API keys and signed links (approvals, files). --undo takes a change back, with what n8n has written since.

Afterwards every node needs the new key in its environment, and no .n8n/config may hold the old one (--settings).

With --stop-fleet it is one command: the nodes of a fleet of sallyport.yaml are asked for the old key, stopped, the database is
changed, they get the new key (--to, --node-key-file), are started, and asked for the new one. Each step is on record: the same
command goes on after any end. A change that fails with nothing changed starts the nodes again with the old key. With
--undo it takes a change back in the same way.`,
		Example: `  sallyport key rekey --database postgres://n8n@db/n8n --old-key-file old.key --new-key-file new.key --dry-run
  sallyport key rekey --database sqlite:///home/node/.n8n/database.sqlite --old-key-file old.key --new-key-file new.key --settings /home/node/.n8n/config
  sallyport key rekey --stop-fleet prod --database-file n8n.url --to corp/secret/n8n/master
  sallyport key rekey --database sqlite:///home/node/.n8n/database.sqlite --undo n8n-rekey-20261121T101500Z.backup --new-key-file new.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.fleet.name != "" {
				return e.rekeyFleet(cmd.Context(), f)
			}
			if err := f.fleet.unasked(); err != nil {
				return err
			}
			return e.rekey(cmd.Context(), f)
		},
	}
	f.database.flags(cmd)
	f.fleet.flags(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.oldFile, "old-key-file", "", "file with the master key that n8n has now")
	fl.StringVar(&f.newFile, "new-key-file", "",
		"file with the master key that it gets (sallyport key generate --out FILE makes one)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only count, and tell what would be in the way")
	fl.StringVar(&f.options.Backup, "backup", "",
		"file for the sealed backup (default: n8n-rekey-TIME.backup in this directory)")
	fl.BoolVar(&f.options.Leaked, "leaked", false,
		"the old key is known to others: replace data keys and signing secrets too")
	fl.BoolVar(&f.options.KeepUnreadable, "keep-unreadable", false, "leave values that no key opens as they are")
	fl.StringSliceVar(&f.options.Accept, "accept", nil,
		"TABLE.COLUMN with ciphertext that is not n8n's own: leave it as it is")
	fl.BoolVar(&f.options.Active, "even-if-active", false, "do it although the database looks as if n8n were at work")
	fl.StringVar(&f.undo, "undo", "", "take back the change that wrote this backup")
	fl.StringSliceVar(&f.settings, "settings", nil, "n8n settings files (.n8n/config) to put the new key into")
	fl.StringVar(&f.to, "to", "", "put the new key into a store too, as a new version: STORE/NAME")
	fl.StringVar(&f.keyOut, "old-key-out", "", "with --undo: new file for the old master key, which the backup holds")
	fl.StringVar(&f.pinFile, "pin-file", "",
		"new file for the environment that keeps sessions and API keys of n8n before 2.20 alive")
	return cmd
}

func (e *env) rekey(ctx context.Context, f rekeyFlags) error {
	if err := e.rekeyOptions(ctx, &f); err != nil {
		return err
	}
	db, err := e.openDatabase(ctx, f.database, !f.dryRun)
	if err != nil {
		return err
	}
	bar := newProgress(e.Err)
	f.options.Progress = bar.show
	switch {
	case f.undo != "":
		err = e.rekeyUndo(ctx, db, f, bar)
	case f.dryRun:
		err = e.rekeyPlan(ctx, db, f, bar)
	default:
		err = e.rekeyRun(ctx, db, f, bar)
	}
	return errors.Join(err, db.Close())
}

// rekeyOptions reads the keys and looks at the flags together.
func (e *env) rekeyOptions(ctx context.Context, f *rekeyFlags) (err error) {
	switch {
	case !f.database.named():
		return usage(errors.New("which database?"),
			"name n8n's with --database: sqlite:///PATH, postgres://… or mysql://…")
	case f.undo != "" && (f.dryRun || f.options.Leaked || f.options.Backup != "" || f.pinFile != "" ||
		f.to != "" && f.fleet.name == "" || len(f.options.Accept) > 0):
		return usage(errors.New("--undo takes none of --dry-run, --leaked, --backup, --accept, --pin-file and, "+
			"without --stop-fleet, --to"), "take them away")
	case f.undo == "" && f.keyOut != "":
		return usage(errors.New("--old-key-out goes with --undo"), "take it away")
	case f.undo != "" && f.oldFile == "" && f.newFile == "" && f.to == "":
		return usage(errors.New("the backup is sealed"),
			"name one of the keys of that change: --new-key-file or --old-key-file")
	case f.undo == "" && (f.oldFile == "" || f.newFile == "") && f.fleet.name == "":
		return usage(errors.New("a change needs both keys"),
			"give --old-key-file and --new-key-file; `sallyport key generate --out FILE` makes a new one")
	}
	if f.oldFile != "" {
		if f.options.Old, err = readKey(f.oldFile); err != nil {
			return fmt.Errorf("--old-key-file: %w", err)
		}
	}
	if f.newFile != "" {
		if f.options.New, err = readKey(f.newFile); err != nil {
			return fmt.Errorf("--new-key-file: %w", err)
		}
	}
	if f.undo != "" && f.fleet.name != "" { // whether it is vacant, the first attempt asks
		f.options.Backup, err = filepath.Abs(f.undo)
		return err
	}
	if f.undo != "" {
		f.options.Backup = f.undo
		return vacant("--old-key-out", f.keyOut)
	}
	if f.options.Backup == "" {
		f.options.Backup = "n8n-rekey-" + time.Now().UTC().Format("20060102T150405Z") + ".backup"
	}
	if f.options.Backup, err = filepath.Abs(f.options.Backup); err != nil { // it has to be found again
		return fmt.Errorf("--backup: %w", err)
	}
	if f.fleet.name != "" {
		return nil
	}
	if err := checkNewKey(f); err != nil {
		return err
	}
	return e.checkAfter(ctx, *f)
}

// maxKey bounds a key file, in bytes.
const maxKey = 64 << 10

// readKey reads a master key as n8n reads the file of N8N_ENCRYPTION_KEY_FILE. Its errors do not quote the path:
// someone may have given the key itself.
func readKey(path string) (secret.Value, error) {
	info, err := os.Stat(path)
	if err != nil {
		return secret.Value{}, unread(err)
	}
	if info.Size() > maxKey {
		return secret.Value{}, fmt.Errorf("reading a master key: the file has %d bytes, which no key has", info.Size())
	}
	content, err := localfile.Read(path, localfile.Small)
	if err != nil {
		return secret.Value{}, unread(err)
	}
	key := environment.Normalize(environment.Trim(string(content)))
	if key == "" {
		return secret.Value{}, fmt.Errorf("reading a master key: %q is empty", path)
	}
	return secret.NewValue([]byte(key)), nil
}

func unread(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err
	}
	return fault.WithHint(fmt.Errorf("reading a master key from its file: %w", err),
		"give the name of a file that holds the key, and not the key itself")
}

// checkNewKey refuses a key that is a mistake. The old one may be one: that may be why it is changed.
func checkNewKey(f *rekeyFlags) error {
	if f.options.Old.Equal(f.options.New) { // --leaked too: whoever has it could unwrap new data keys as well
		return usage(errors.New("the old key and the new one are the same"),
			"`sallyport key generate --out FILE` makes a new one")
	}
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	problem, hint := environment.KeyProblem(string(f.options.New.Reveal()), exists)
	if problem == "" {
		if doubt := environment.KeyDoubt(string(f.options.New.Reveal())); doubt != "" {
			problem, hint = doubt, "`sallyport key generate --out FILE` makes one of 32 random bytes"
		}
	}
	if problem != "" {
		return fault.WithHint(fmt.Errorf("the key in %q %s", f.newFile, problem), hint)
	}
	return nil
}

func (e *env) rekeyRun(ctx context.Context, db *database.DB, f rekeyFlags, bar *progress) error {
	report, err := rekey.Run(ctx, db, f.options)
	bar.end()
	if err != nil {
		return err
	}
	after := e.rekeyAfter(ctx, f, report)
	return errors.Join(e.print(rekeyDone{report, after}, func(w io.Writer) error {
		return writeRekeyed(w, report, after, f)
	}), after.err)
}

func (e *env) rekeyPlan(ctx context.Context, db *database.DB, f rekeyFlags, bar *progress) error {
	report, err := rekey.Plan(ctx, db, f.options)
	bar.end()
	if err != nil {
		return err
	}
	if err := e.print(report, func(w io.Writer) error {
		return writeRekeyPlan(w, report, f)
	}); err != nil || len(report.Warnings) == 0 {
		return err
	}
	return inTheWay(report)
}

func inTheWay(report rekey.Report) error {
	return fault.WithHint(fault.WithExit(fmt.Errorf("the change would be refused, for %d reasons that the plan names",
		len(report.Warnings)), fault.ExitFindings),
		"nothing was changed; see \"in its way\" above, or \"warnings\" with --json")
}

func (e *env) rekeyUndo(ctx context.Context, db *database.DB, f rekeyFlags, bar *progress) error {
	done, err := rekey.Undo(ctx, db, f.options)
	bar.end()
	if err != nil {
		return err
	}
	var after rekeyedAfter
	var errs []error
	after.Settings, errs = changeSettings(f.settings, done.New, done.Old)
	if f.keyOut != "" {
		if err := masterkey.WriteFile(f.keyOut, done.Old); err != nil {
			errs = append(errs, err)
		} else {
			after.KeyFile, _ = filepath.Abs(f.keyOut)
		}
	}
	if after.err = errors.Join(errs...); after.err != nil {
		after.err = fmt.Errorf("the database is under the old key again, but not all that follows was done: %w",
			after.err)
	}
	return errors.Join(e.print(undoDone{done, after}, func(w io.Writer) error {
		return writeUndone(w, done, after, f)
	}), after.err)
}

// undoDone is what the command prints of an --undo.
type undoDone struct {
	rekey.Undone

	After rekeyedAfter `json:"after"`
}

// changeSettings puts a key into settings files, and says what became of each.
func changeSettings(paths []string, old, fresh secret.Value) (done map[string]string, errs []error) {
	for _, path := range paths {
		became, err := rekey.ChangeSettings(path, old, fresh)
		if err != nil {
			became, errs = "failed", append(errs, err)
		}
		if done == nil {
			done = make(map[string]string)
		}
		done[path] = became
	}
	return done, errs
}

// rekeyDone is what the command prints.
type rekeyDone struct {
	rekey.Report

	After rekeyedAfter `json:"after"`
}

// rekeyedAfter is what was done beside the database, once it had committed.
type rekeyedAfter struct {
	Settings map[string]string `json:"settings,omitempty"` // file: what became of it
	Store    string            `json:"store,omitempty"`
	PinFile  string            `json:"pin_file,omitempty"`
	KeyFile  string            `json:"old_key_file,omitempty"` // of an --undo

	err error
}

// rekeyAfter does what follows. The change is made by then, so that one failure does not keep the rest from being done.
func (e *env) rekeyAfter(ctx context.Context, f rekeyFlags, report rekey.Report) rekeyedAfter {
	var a rekeyedAfter
	var errs []error
	a.Settings, errs = changeSettings(f.settings, f.options.Old, f.options.New)
	if f.pinFile != "" && report.Derived && !f.options.Leaked {
		if err := masterkey.WriteFile(f.pinFile, rekey.Pins(f.options.Old)); err != nil {
			errs = append(errs, err)
		} else {
			a.PinFile, _ = filepath.Abs(f.pinFile)
		}
	}
	if f.to != "" {
		if err := e.keyVersion(ctx, f.to, f.options.New); err != nil {
			errs = append(errs, err)
		} else {
			a.Store = f.to
		}
	}
	if a.err = errors.Join(errs...); a.err != nil {
		a.err = fmt.Errorf("the database is under the new key, but not all that follows was done: %w", a.err)
	}
	return a
}

// keyVersion puts a key into a store as a new version.
func (e *env) keyVersion(ctx context.Context, to string, key secret.Value) error {
	store, name, _ := strings.Cut(to, "/")
	return e.withStore(ctx, store, func(t *target) error {
		w, err := t.writer()
		if err != nil {
			return err
		}
		if err := t.record(ctx, "key.rekey", name); err != nil {
			return err
		}
		_, err = w.Put(ctx, name, key)
		return errors.Join(err, t.changed(ctx))
	})
}

// checkAfter looks, before anything is changed, at what is to be written afterwards.
func (e *env) checkAfter(ctx context.Context, f rekeyFlags) error {
	if err := vacant("--pin-file", f.pinFile); err != nil {
		return err
	}
	for _, path := range f.settings {
		if err := rekey.CheckSettings(path, f.options.Old, f.options.New); err != nil {
			return err
		}
	}
	if f.to == "" {
		return nil
	}
	store, name, _ := strings.Cut(f.to, "/")
	if store == "" || name == "" {
		return usage(fmt.Errorf("--to %q names no secret", f.to), "want STORE/NAME, for example builtin/n8n/master")
	}
	return e.withStore(ctx, store, func(t *target) error {
		_, err := t.writer()
		return err
	})
}

// vacant refuses a file that is there already.
func vacant(flag, path string) error {
	if _, err := os.Lstat(path); path == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return usage(fmt.Errorf("%s %q is there already", flag, path), "name another")
}

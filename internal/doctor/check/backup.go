package check

import (
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/masterkey/survey"
	n8ndatabase "sallyport/internal/n8n/database"
)

//go:embed backup.md
var backupPage string

func backups() doctor.Check {
	return doctor.Check{
		ID: "backup", Title: "The backups can be restored, and what is in them decrypted", Severity: doctor.Critical,
		Asks: "With --drill: a copy of each backup, opened in a temporary folder with the keys that are kept apart " +
			"from it; " +
			"every secret in it is decrypted.",
		Page: backupPage, Look: lookAtBackups, Timeout: 30 * time.Minute,
	}
}

func lookAtBackups(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	switch {
	case !on.Drill:
		return nil, errNobody("nobody has tried", "--drill, with --backup FOLDER and --n8n-backup FILE")
	case on.Backup+on.N8NBackup == "":
		return nil, errNobody("no backup was named", "--backup FOLDER is a copy of the gate's data directory, "+
			"--n8n-backup "+
			"FILE of n8n's SQLite database")
	}
	if on.Backup != "" {
		seen = append(seen, gateDrill(ctx, on))
	}
	if on.N8NBackup != "" {
		seen = append(seen, n8nDrill(ctx, on))
	}
	return seen, nil
}

func gateDrill(ctx context.Context, on *site.Site) doctor.Seen {
	at := "backup " + on.Backup
	n, err := on.Restore(ctx, on.Backup)
	switch {
	case ctx.Err() != nil:
		return doctor.DarkBy(at, ctx.Err())
	case err != nil:
		return doctor.Bad(at, "it cannot be restored: "+err.Error(), fault.HintOf(err))
	case n == 0:
		return doctor.Doubtful(at, "it can be opened, and has no secret in it", "is it the right backup?")
	}
	if _, err := os.Stat(filepath.Join(on.Backup, "seal.key")); err == nil {
		return doctor.Doubtful(at, fmt.Sprintf("it was restored, %d secrets were decrypted, and the seal key lies in "+
			"it: whoever has the backup has the secrets", n), "keep the seal key apart from the backup")
	}
	return doctor.Good(at, fmt.Sprintf("it was restored, and %d secrets were decrypted", n))
}

// n8nDrill opens a copy of n8n's database with the master key.
func n8nDrill(ctx context.Context, on *site.Site) doctor.Seen {
	at := "backup " + on.N8NBackup
	if on.N8NKey == nil {
		return doctor.Dark(at, "the master key was not named", "--key-file FILE: a copy that is kept apart from the "+
			"backup")
	}
	key, err := on.N8NKey(ctx)
	if err != nil {
		return doctor.DarkBy(at, err)
	}
	dir, err := os.MkdirTemp("", "sallyport-drill-")
	if err != nil {
		return doctor.DarkBy(at, err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing can be done about it
	restored := filepath.Join(dir, "database.sqlite")
	if err := copyTo(ctx, on.N8NBackup, restored); err != nil {
		return doctor.Bad(at, "it cannot be read: "+err.Error(), "is it there, and readable for this user?")
	}
	db, err := n8ndatabase.Open(ctx, n8ndatabase.Options{URL: "sqlite://" + restored})
	if err != nil {
		return doctor.Bad(at, "it cannot be opened: "+err.Error(), fault.HintOf(err))
	}
	v, err := survey.Check(ctx, db, key)
	err = errors.Join(err, db.Close())
	switch {
	case ctx.Err() != nil:
		return doctor.DarkBy(at, ctx.Err())
	case err != nil:
		return doctor.Bad(at, "it cannot be read: "+err.Error(), fault.HintOf(err))
	case v.Result == survey.Match:
		return doctor.Good(at, fmt.Sprintf("the master key opens all of its %d values", v.Readable+v.KeysOpen))
	case v.Result == survey.Unproven:
		return doctor.Doubtful(at, "nothing in it is encrypted", "is it the right backup?")
	}
	return doctor.Bad(at, fmt.Sprintf("the master key opens %d of its values, and %d it does not",
		v.Readable+v.KeysOpen,
		v.Unreadable+v.Keys-v.KeysOpen), "keep the key that was n8n's when the backup was made, apart from the backup")
}

// copyTo copies a file, with SQLite's write-ahead log where that lies beside it.
func copyTo(ctx context.Context, from, to string) error {
	for _, suffix := range []string{"", "-wal"} {
		in, err := localfile.Open(from + suffix)
		if suffix != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return bare(err)
		}
		out, err := localfile.Create(to+suffix, 0o600)
		if err != nil {
			return errors.Join(err, in.Close())
		}
		_, err = io.Copy(out, &watched{ctx, in})
		if err := errors.Join(err, in.Close(), out.Close()); err != nil {
			return err
		}
	}
	return nil
}

// watched is a reader that a context ends.
type watched struct {
	ctx context.Context //nolint:containedctx // of one call
	r   io.Reader
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, w.ctx.Err()
	}
	return w.r.Read(p)
}

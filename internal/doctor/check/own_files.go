package check

import (
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/localfile"
)

//go:embed own-files.md
var ownFilesPage string

func ownFiles() doctor.Check {
	return doctor.Check{
		ID: "own-files", Title: "Nobody else can read or change the gate's own files", Severity: doctor.High,
		Asks: "The seal key, the data directory, the database's address, the certificate's key and the stores' " +
			"credentials: " +
			"what may others do with them?",
		Page: ownFilesPage, Look: lookAtOwnFiles, Fix: shutOwnFiles,
	}
}

// ownFile is a file or folder of the gate.
type ownFile struct {
	path   string
	secret bool // nobody else may read it; of others, nobody else may write to it
}

// ownFilesOf are those that a configuration names and that are there.
func ownFilesOf(c *config.Config) (list []ownFile) {
	add := func(path string, secret bool) {
		if path != "" && !slices.ContainsFunc(list, func(f ownFile) bool { return f.path == path }) {
			list = append(list, ownFile{path, secret})
		}
	}
	add(c.Data, true)
	add(filepath.Join(c.Data, "sallyport.db"), true)
	add(c.Audit.File, true)
	add(c.Seal.KeyFile, true)
	add(c.DatabaseFile, true)
	add(c.TLS.KeyFile, true)
	for _, name := range slices.Sorted(maps.Keys(c.Stores)) {
		if s := c.Stores[name].Settings; s != nil {
			for _, file := range s.Files() {
				add(file, strings.HasSuffix(file, ".key") || strings.Contains(filepath.Base(file), "kubeconfig"))
			}
		}
	}
	for _, file := range c.Files() {
		add(file, false)
	}
	return list
}

func lookAtOwnFiles(_ context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	c, _, err := on.Config()
	if err != nil {
		return nil, err
	}
	well := 0
	for _, f := range ownFilesOf(c) {
		info, err := os.Stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // what has to be there and is not, the start of the gate says
		case err != nil:
			seen = append(seen, doctor.Dark(f.path, bare(err).Error(), "run it as the user that the gate runs as"))
			continue
		}
		if s, bad := openSeen(f, info); bad {
			seen = append(seen, s)
		} else {
			well++
		}
	}
	if well > 0 {
		seen = append(seen, doctor.Good("the gate's files", fmt.Sprintf("%d are shut to others", well)))
	}
	return seen, nil
}

// openSeen says what others may do with a file. What an orchestrator mounts is readable for all of a container.
func openSeen(f ownFile, info fs.FileInfo) (doctor.Seen, bool) {
	mode := info.Mode().Perm()
	mounted := strings.HasPrefix(f.path, "/run/secrets/") || strings.HasPrefix(f.path, "/var/run/secrets/")
	switch {
	case mode&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return doctor.Bad(f.path, fmt.Sprintf("everybody on this machine may change it (mode %04o)", mode),
			"chmod o-w "+f.path), true
	case f.secret && mode&0o007 != 0 && !mounted && (!info.IsDir() || mode&0o004 != 0):
		return doctor.Bad(f.path, fmt.Sprintf("everybody on this machine may read it (mode %04o)", mode),
			"chmod o-rwx "+f.path+", or --fix"), true
	case f.secret && mode&0o020 != 0 && !mounted:
		return doctor.Doubtful(f.path, fmt.Sprintf("its group may change it (mode %04o)", mode),
			"chmod g-w "+f.path), true
	}
	return doctor.Seen{}, false
}

// shutOwnFiles takes from others, and from the group its right to write, what openSeen has found; of this user's own
// files alone, and following no link.
func shutOwnFiles(_ context.Context, on *site.Site, _ []doctor.Seen) (done []string, err error) {
	c, _, err := on.Config()
	if err != nil {
		return nil, err
	}
	for _, f := range ownFilesOf(c) {
		info, err := os.Lstat(f.path)
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			continue // it is not there, or its mode is another file's
		}
		if _, bad := openSeen(f, info); !bad {
			continue
		}
		keep := info.Mode().Perm() &^ 0o022
		if f.secret {
			keep &^= 0o007
		}
		dir, err := localfile.OpenDir(filepath.Dir(f.path))
		if err != nil {
			return done, fmt.Errorf("shutting %q: %w", f.path, err)
		}
		err = errors.Join(dir.Chmod(filepath.Base(f.path), keep), dir.Close())
		if err != nil {
			return done, fmt.Errorf("shutting %q: %w", f.path, bare(err))
		}
		done = append(done, fmt.Sprintf("%s has mode %04o now", f.path, keep))
	}
	return done, nil
}

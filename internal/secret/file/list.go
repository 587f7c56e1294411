package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"sallyport/internal/secret"
)

// maxEntries bounds a listing: more files than that are not a folder of secrets.
const maxEntries = 100_000

// List implements secret.Lister: the regular files below the folder, those behind symbolic links that stay in it too.
// Names that begin with two dots are Kubernetes' own and left out.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("listing secrets of the folder %q: %w", s.dir, err)
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, s.noFolder(err)
	}
	defer root.Close() //nolint:errcheck // a folder, opened to read
	var entries []secret.Entry
	seen := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if seen++; seen > maxEntries {
			return unavailable("the folder has more than a hundred thousand files",
				"set `dir` to the folder that has the secrets alone")
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist): // gone meanwhile
			return nil
		case err != nil:
			return explain(err)
		case name != "." && strings.HasPrefix(d.Name(), ".."):
			return skip(d)
		}
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		if info, err := root.Stat(name); err == nil && info.Mode().IsRegular() {
			entries = append(entries, secret.Entry{Path: name, Version: describe(info)})
		}
		return nil
	})
	return entries, err
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

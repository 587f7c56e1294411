package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/localfile"
	"sallyport/internal/masterkey"
	"sallyport/internal/secret"
)

// form is what stands in a file, and how it is referenced.
type form struct {
	extension string
	seal      func(ctx context.Context, name string, key secret.Value) (content secret.Value, err error)
	// open returns the zero Value for what it cannot make sense of.
	open    func(ctx context.Context, name string, content []byte) (secret.Value, error)
	how     string // what reading it back proves
	snippet func(name, path string) string
	notes   func(path string) []string
}

// files are versions as files of one folder: NAME_v1, NAME_v2, …
type files struct {
	numbered
	form
	family string
	dir    string
}

// one is a file that someone has named.
type one struct {
	form
	family string
	path   string
}

// newFile is one when out names a file, files when it names a folder or, for "", in dir.
func newFile(f form, family, out, dir string) Target {
	if out == "" {
		out = dir + "/"
	}
	if info, err := os.Stat(out); strings.HasSuffix(out, "/") || (err == nil && info.IsDir()) {
		return &files{form: f, family: family, dir: filepath.Clean(out)}
	}
	return &one{form: f, family: family, path: filepath.Clean(out)}
}

func (f *files) String() string       { return fmt.Sprintf("folder %q", f.dir) }
func (f *files) Name(n int) string    { return f.path(n) }
func (f *files) path(n int) string    { return filepath.Join(f.dir, versioned(f.family, n)+f.extension) }
func (f *files) Snippet(n int) string { return f.snippet(versioned(f.family, n), f.path(n)) }
func (f *files) Notes(n int) []string { return f.notes(f.path(n)) }

// Held implements Target.
func (f *files) Held(context.Context) ([]int, error) {
	entries, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // Create makes it
	}
	if err != nil {
		return nil, err
	}
	var held []int
	for _, e := range entries {
		bare, ok := strings.CutSuffix(e.Name(), f.extension)
		if n, isNumber := numberOf(bare, f.family+"_v"); ok && isNumber {
			held = append(held, n)
		}
	}
	return held, nil
}

// Create implements Target.
func (f *files) Create(ctx context.Context, held []int, key secret.Value) (int, error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return 0, err
	}
	return f.create(held, func(n int) error {
		err := f.write(ctx, versioned(f.family, n), f.path(n), key)
		if errors.Is(err, fs.ErrExist) {
			return errTaken
		}
		return err
	})
}

// Read implements Target.
func (f *files) Read(ctx context.Context, n int) (secret.Value, string, error) {
	return f.read(ctx, versioned(f.family, n), f.path(n))
}

func (o *one) String() string     { return fmt.Sprintf("file %q", o.path) }
func (o *one) Name(int) string    { return o.path }
func (o *one) Snippet(int) string { return o.snippet(o.family, o.path) }
func (o *one) Notes(int) []string { return o.notes(o.path) }

// Next implements Target.
func (o *one) Next([]int) int { return 0 }

// Held implements Target: the file is version 0.
func (o *one) Held(context.Context) ([]int, error) {
	_, err := os.Lstat(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return []int{0}, err
}

// Create implements Target.
func (o *one) Create(ctx context.Context, _ []int, key secret.Value) (int, error) {
	return 0, o.write(ctx, o.family, o.path, key)
}

// Read implements Target.
func (o *one) Read(ctx context.Context, _ int) (secret.Value, string, error) {
	return o.read(ctx, o.family, o.path)
}

func (f form) write(ctx context.Context, name, path string, key secret.Value) error {
	content, err := f.seal(ctx, name, key)
	if err != nil {
		return err
	}
	return masterkey.WriteFile(path, content)
}

// maxFile bounds a file with a key, in bytes.
const maxFile = 1 << 20

func (f form) read(ctx context.Context, name, path string) (secret.Value, string, error) {
	content, err := readFile(path)
	if err != nil {
		return secret.Value{}, "", err
	}
	value, err := f.open(ctx, name, content)
	return value, f.how, err
}

func readFile(path string) ([]byte, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// absolute is a path as a configuration that lies elsewhere needs it.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

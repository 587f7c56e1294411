package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/localfile"
)

// Cursor is how far a sink has come.
type Cursor struct {
	At      audit.Mark  `json:"at"`      // behind the last item that the receiver has
	Anchor  audit.Mark  `json:"anchor"`  // an earlier one that a power cut cannot have taken from the log
	Gap     audit.Range `json:"gap"`     // the last one that was told of
	Time    time.Time   `json:"time"`    // when the receiver last took something
	Skipped int         `json:"skipped"` // items in gaps, so far
}

// maxCursor bounds the file of one, in bytes.
const maxCursor = 64 << 10

// Cursors are kept in a directory of ours, NAME.json each. The directory is made where it is not there.
type Cursors struct {
	Path string
}

// Load reads a cursor. found: there is one.
func (c *Cursors) Load(name string) (at Cursor, found bool, err error) {
	content, err := c.read(name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return Cursor{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &at)
	}
	if err == nil && (at.At.Seq < 0 || at.At.Offset < 0) {
		err = errors.New("it is no place in a log")
	}
	if err != nil {
		return Cursor{}, false, fmt.Errorf("reading the cursor of audit sink %q: %w", name, err)
	}
	return at, true, nil
}

func (c *Cursors) read(name string) ([]byte, error) {
	dir, err := localfile.OpenDir(c.Path)
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // read only
	f, err := dir.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, maxCursor))
}

// Save writes a cursor whole beside the one before, synced, and puts it in its place.
func (c *Cursors) Save(name string, at Cursor) error {
	content, err := json.Marshal(at)
	if err == nil {
		err = c.replace(name+".json", append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the cursor of audit sink %q: %w", name, err)
	}
	return nil
}

func (c *Cursors) replace(name string, content []byte) error {
	dir, err := localfile.MakeDir(c.Path)
	if err != nil {
		return err
	}
	return errors.Join(replace(dir, name, content), dir.Close())
}

func replace(dir *localfile.Dir, name string, content []byte) error {
	next := name + ".next"
	if err := dir.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.Open(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = dir.Rename(next, name)
	}
	if err == nil {
		return dir.Sync()
	}
	return errors.Join(err, dir.Remove(next))
}

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"syscall"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// Files is a Journal in a directory of ours: NAME.json, NAME.lock and NAME.ask for each fleet.
type Files struct {
	dir *localfile.Dir
}

// maxRecord bounds a record, in bytes: a fleet of 10,000 units has some 3 MB.
const maxRecord = 16 << 20

// isFleet is a name that is a file's too.
var isFleet = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// OpenFiles opens the directory, and makes it where it is not there.
func OpenFiles(path string) (*Files, error) {
	dir, err := localfile.MakeDir(path)
	if err != nil {
		return nil, err
	}
	return &Files{dir: dir}, nil
}

// Close lets go of the directory.
func (f *Files) Close() error { return f.dir.Close() }

// Load implements Journal.
func (f *Files) Load(_ context.Context, fleet string) (r Record, err error) {
	content, err := f.read(fleet, ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err == nil {
		err = r.judge(fleet)
	}
	if err != nil {
		return Record{}, fault.WithHint(fmt.Errorf("reading the record of fleet %q: %w", fleet, err),
			"see "+f.dir.Path()+"/"+fleet+".json")
	}
	return r, nil
}

// Save implements Journal: the record is written whole beside the one before, and takes its place.
func (f *Files) Save(_ context.Context, r Record) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = f.write(r.Fleet, ".json", append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the record of fleet %q: %w", r.Fleet, err)
	}
	return nil
}

// LoadPart reads what SavePart has kept beside the record of a fleet into what to points to. found: there is such a
// part.
func (f *Files) LoadPart(fleet, part string, to any) (found bool, err error) {
	content, err := f.read(fleet, "."+part+".json")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, to)
	}
	if err != nil {
		return false, fault.WithHint(fmt.Errorf("reading the %s of fleet %q: %w", part, fleet, err),
			"see "+f.dir.Path()+"/"+fleet+"."+part+".json")
	}
	return true, nil
}

// SavePart keeps something beside the record of a fleet. The caller holds the fleet's lock.
func (f *Files) SavePart(fleet, part string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = f.write(fleet, "."+part+".json", append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the %s of fleet %q: %w", part, fleet, err)
	}
	return nil
}

// Lock implements Journal. The lock is the kernel's: it ends with the process.
func (f *Files) Lock(_ context.Context, fleet string) (func(), error) {
	if err := check(fleet); err != nil {
		return nil, err
	}
	file, err := f.dir.Open(fleet+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking fleet %q: %w", fleet, err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { _ = file.Close() }, nil // which unlocks it
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, ErrWorking
	}
	return nil, fmt.Errorf("locking fleet %q: %w", fleet, err)
}

// Ask implements Journal.
func (f *Files) Ask(_ context.Context, fleet string, r Request) error {
	if err := check(fleet); err != nil {
		return err
	}
	var err error
	if r == NoRequest {
		if err = f.dir.Remove(fleet + ".ask"); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = f.write(fleet, ".ask", []byte(r))
	}
	if err != nil {
		return fmt.Errorf("asking for a %s of the restart of fleet %q: %w", r, fleet, err)
	}
	return nil
}

// Asked implements Journal.
func (f *Files) Asked(_ context.Context, fleet string) (Request, error) {
	content, err := f.read(fleet, ".ask")
	if errors.Is(err, fs.ErrNotExist) {
		return NoRequest, nil
	}
	return Request(content), err
}

func check(fleet string) error {
	if !isFleet.MatchString(fleet) {
		return fmt.Errorf("fleet %q has a name that no file can have", fleet)
	}
	return nil
}

func (f *Files) read(fleet, suffix string) ([]byte, error) {
	if err := check(fleet); err != nil {
		return nil, err
	}
	file, err := f.dir.Open(fleet+suffix, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(file, maxRecord))
}

// write replaces a file. The caller is the only one that writes it, or what it writes says nothing but the last word.
func (f *Files) write(fleet, suffix string, content []byte) error {
	if err := check(fleet); err != nil {
		return err
	}
	fresh := fleet + suffix + ".new"
	file, err := f.dir.Open(fresh, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err = file.Truncate(0); err == nil { // a crash may have left half of one
		_, err = file.Write(content)
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := f.dir.Rename(fresh, fleet+suffix); err != nil {
		return err
	}
	return f.dir.Sync()
}

package rekey

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// A backup is one line of JSON (header), then a stream of JSON lines (record), sealed: AES-256-GCM by segments of 1 MiB
// with a key per file (Tink's AES256_GCM_HKDF_1MB), the header as additional data. The file's key is in the header,
// sealed under the new master key, and unless that one has leaked under the old one too.
const (
	backupKind    = "sallyport-rekey-backup"
	backupVersion = 1
)

type header struct {
	Kind     string    `json:"kind"`
	Version  int       `json:"version"`
	Created  time.Time `json:"created"`
	Database string    `json:"database"`
	Boxes    []box     `json:"boxes"`
}

// record is one line of the stream: exactly one of its parts is there. The first is Masters, the last End.
type record struct {
	Masters *mastersRecord `json:"masters,omitempty"`
	Row     *rowRecord     `json:"row,omitempty"`
	Key     *keyRecord     `json:"key,omitempty"`
	Left    []byte         `json:"left,omitempty"` // SHA-256 of a value that no key opened, and that stays as it is
	End     *endRecord     `json:"end,omitempty"`
}

type mastersRecord struct {
	Old []byte `json:"old"`
	New []byte `json:"new"`
}

type rowRecord struct {
	Location string   `json:"place"`
	Key      []string `json:"key"`
	Old      string   `json:"old"` // the cell
	New      string   `json:"new"` // SHA-256 of the cell that was put in its place, in hexadecimal
}

type keyRecord struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Algorithm string `json:"algorithm"`
	Done      string `json:"done"`
	Old       string `json:"old"` // "" for an added row
	Status    string `json:"status"`
	New       string `json:"new"` // SHA-256 of what was put in its place
}

func (k keyRecord) row() database.DeploymentKeyRow {
	return database.DeploymentKeyRow{ID: k.ID, Status: k.Status, DeploymentKey: cipher.DeploymentKey{
		Type: k.Type, Algorithm: k.Algorithm, Value: secret.NewValue([]byte(k.Old)),
	}}
}

type endRecord struct {
	Rows int `json:"rows"`
	Keys int `json:"keys"`
	Left int `json:"left"`
}

// sumOf is how a record knows what was put in a cell's place again.
func sumOf(cell string) string {
	sum := sha256.Sum256([]byte(cell))
	return hex.EncodeToString(sum[:])
}

// backupWriter writes a backup. Its methods are called by one goroutine.
type backupWriter struct {
	path  string
	new   secret.Value
	file  *os.File
	seal  io.WriteCloser
	lines *bufio.Writer
	enc   *json.Encoder
	sum   hash.Hash // of the stream in the clear
	end   endRecord
}

const backupBuffer = 1 << 18

// vacant refuses a file that is there already, before anything else takes time.
func vacant(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return taken(path)
	}
	return nil
}

func taken(path string) error {
	return fault.WithHint(fmt.Errorf("writing the backup: %q is there already", path),
		"it may be the only way back from an earlier change: name another with --backup")
}

// createBackup begins a backup in a new file of mode 0600.
func createBackup(o Options, name string, now time.Time) (*backupWriter, error) {
	f, err := os.OpenFile(o.Backup, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, taken(o.Backup)
	case err != nil:
		return nil, fault.WithHint(fmt.Errorf("writing the backup: %w", err),
			"name a file in a folder that this user may write to, with --backup; nothing was changed")
	}
	w := &backupWriter{path: o.Backup, new: o.New, file: f, sum: sha256.New()}
	if err := w.begin(o, name, now); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the backup: %w", err), w.discard())
	}
	return w, nil
}

func (w *backupWriter) begin(o Options, name string, now time.Time) error {
	key := newFileKey()
	h := header{
		Kind: backupKind, Version: backupVersion, Created: now.UTC(), Database: name,
		Boxes: []box{seal(key, o.New)},
	}
	if !o.Leaked {
		h.Boxes = append(h.Boxes, seal(key, o.Old))
	}
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err = w.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if w.seal, err = sealing(w.file, key, line); err != nil {
		return err
	}
	w.lines = bufio.NewWriterSize(io.MultiWriter(w.seal, w.sum), backupBuffer)
	w.enc = json.NewEncoder(w.lines)
	w.enc.SetEscapeHTML(false)
	return w.put(record{Masters: &mastersRecord{Old: o.Old.Reveal(), New: o.New.Reveal()}})
}

func (w *backupWriter) put(r record) error {
	if err := w.enc.Encode(r); err != nil {
		return fault.WithHint(fmt.Errorf("writing the backup %q: %w", w.path, err),
			"give --backup a place with room; nothing was changed")
	}
	return nil
}

// row keeps a row that is about to get another cell.
func (w *backupWriter) row(p database.Location, row database.Row, cell string) error {
	if w == nil { // an Undo has its backup already
		return nil
	}
	w.end.Rows++
	return w.put(record{Row: &rowRecord{Location: p.String(), Key: row.Key, Old: row.Cell, New: sumOf(cell)}})
}

// leave notes a value that stays closed.
func (w *backupWriter) leave(stored string) error {
	w.end.Left++
	sum := sha256.Sum256([]byte(stored))
	return w.put(record{Left: sum[:]})
}

// key keeps a row of deployment_key.
func (w *backupWriter) key(step keyStep) error {
	w.end.Keys++
	return w.put(record{Key: &keyRecord{
		ID: step.after.ID, Type: step.after.Type, Algorithm: step.after.Algorithm, Done: step.done,
		Old: string(step.before.Value.Reveal()), Status: step.before.Status,
		New: sumOf(string(step.after.Value.Reveal())),
	}})
}

// finish completes the file, makes it durable and reads it again, whole.
func (w *backupWriter) finish(ctx context.Context) error {
	if err := w.put(record{End: &w.end}); err != nil {
		return err
	}
	err := errors.Join(w.lines.Flush(), w.seal.Close(), w.file.Sync(), w.file.Close(), syncDir(filepath.Dir(w.path)))
	if err != nil {
		return fault.WithHint(fmt.Errorf("writing the backup %q: %w", w.path, err),
			"give --backup a place with room; nothing was changed")
	}
	if err := w.verify(ctx); err != nil {
		return fmt.Errorf("reading the backup %q again: %w", w.path, err)
	}
	return nil
}

// verify opens the backup as Undo would, and wants the very bytes that were sealed.
func (w *backupWriter) verify(ctx context.Context) error {
	b, err := openBackup(w.path, w.new)
	if err != nil {
		return err
	}
	defer b.close()
	sum := sha256.New()
	chunk := make([]byte, segmentSize)
	for ctx.Err() == nil {
		n, err := b.stream.Read(chunk)
		_, _ = sum.Write(chunk[:n])
		switch {
		case errors.Is(err, io.EOF) && bytes.Equal(sum.Sum(nil), w.sum.Sum(nil)):
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("it is not what was written")
		case err != nil:
			return err
		}
	}
	return ctx.Err()
}

func (w *backupWriter) discard() error {
	_ = w.file.Close()
	return os.Remove(w.path)
}

// discardBackup removes the backup of a run that has changed nothing.
func (r *run) discardBackup() error {
	if r.file == nil {
		return nil
	}
	return r.file.discard()
}

// syncDir makes a new file's name as durable as its content.
func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the directory of the operator's file
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

package rekey

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// What a backup can be refused for.
var (
	errNoBackup   = errors.New("it is no backup of a change of the master key")
	errIncomplete = errors.New("it is incomplete: the change that wrote it was not committed")
)

// maxHeader bounds the first line, in bytes.
const maxHeader = 1 << 16

// backup is a backup open for reading.
type backup struct {
	header header
	file   *os.File
	stream io.Reader // the records in the clear
}

// openBackup opens a backup with any of the keys.
func openBackup(path string, keys ...secret.Value) (*backup, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return nil, err
	}
	b := &backup{file: f}
	if err := b.unseal(keys); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// Masters returns the keys of the change that wrote a backup: the one that n8n had before it, and the one that it got.
// keys are any that may open it.
func Masters(path string, keys ...secret.Value) (old, fresh secret.Value, err error) {
	failed := func(err error) (secret.Value, secret.Value, error) {
		return secret.Value{}, secret.Value{}, fmt.Errorf("reading the backup %q: %w", path, err)
	}
	b, err := openBackup(path, keys...)
	if err != nil {
		return failed(err)
	}
	defer b.close()
	var first record
	if err := json.NewDecoder(b.stream).Decode(&first); err != nil || first.Masters == nil {
		return failed(errNoBackup)
	}
	return secret.NewValue(first.Masters.Old), secret.NewValue(first.Masters.New), nil
}

func (b *backup) close() { _ = b.file.Close() } // it was only read

func (b *backup) unseal(keys []secret.Value) error {
	in := bufio.NewReaderSize(b.file, maxHeader)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return errNoBackup
	}
	line = bytes.Clone(bytes.TrimSuffix(line, []byte("\n")))
	if json.Unmarshal(line, &b.header) != nil || b.header.Kind != backupKind {
		return errNoBackup
	}
	if b.header.Version != backupVersion {
		return fmt.Errorf("it has the version %d, and this Sallyport reads %d", b.header.Version, backupVersion)
	}
	key, ok := b.unbox(keys)
	if !ok {
		return fault.WithHint(fault.WithExit(errors.New("it opens with none of the keys that were given"),
			fault.ExitKeyMismatch),
			"it opens with the master key that was new then, and with the old one unless --leaked was given")
	}
	b.stream, err = opening(in, key, line)
	return err
}

func (b *backup) unbox(keys []secret.Value) ([]byte, bool) {
	for _, box := range b.header.Boxes {
		for _, master := range keys {
			if key, ok := box.open(master); ok && !master.IsZero() {
				return key, true
			}
		}
	}
	return nil, false
}

// each calls fn with every record but the last, which it returns.
func (b *backup) each(ctx context.Context, fn func(record) error) (endRecord, error) {
	dec := json.NewDecoder(b.stream)
	var got endRecord
	for {
		var r record
		if err := dec.Decode(&r); err != nil {
			return got, fmt.Errorf("%w (%w)", errIncomplete, err)
		}
		switch {
		case r.End != nil:
			if *r.End != got {
				return got, errIncomplete
			}
			_, err := io.Copy(io.Discard, b.stream) // the seal's last segment, too
			return got, err
		case r.Row != nil:
			got.Rows++
		case r.Key != nil:
			got.Keys++
		case r.Left != nil:
			got.Left++
		}
		if err := errors.Join(fn(r), ctx.Err()); err != nil {
			return got, err
		}
	}
}

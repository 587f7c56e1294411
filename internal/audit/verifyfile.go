package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"sallyport/internal/localfile"
)

// VerifyFile is [Verify] for a log on disk, which may be in use: it judges the log as it
// stood at one moment, and an unfinished last line counts against it only if nobody is
// writing. An empty checkpointPath means path + ".checkpoints"; a checkpoint file that is
// not there is found to be missing.
func VerifyFile(ctx context.Context, path, checkpointPath string, keys Public) (Report, error) {
	if err := keys.check(); err != nil {
		return Report{}, err
	}
	if checkpointPath == "" {
		checkpointPath = path + ".checkpoints"
	}
	f, err := localfile.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("verifying audit log: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return Report{}, fmt.Errorf("verifying audit log: %w", err)
	}
	live := inUse(f)
	checkpoints, err := readWhole(checkpointPath, live)
	if err != nil {
		return Report{}, fmt.Errorf("verifying audit log: %w", err)
	}
	all, bad, err := readCheckpoints(bytes.NewReader(checkpoints), keys.Sign)
	if err != nil || bad != nil {
		return Report{FirstBad: bad}, err
	}
	// Checkpoints were read after the size: the newest may speak of records behind it.
	if len(all) > 0 {
		size = max(size, all[len(all)-1].Offset)
	}
	v := newVerifier(io.NewSectionReader(f, 0, size), keys.Chain)
	v.checkpoints, v.anchors, v.live = all, true, live
	return v.run(ctx)
}

// inUse tells whether a writer holds the log.
func inUse(f *os.File) bool {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if err == nil {
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) // closing frees it too
	}
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// readWhole reads a checkpoint file; while it is in use, without a line that is being written.
func readWhole(path string, live bool) ([]byte, error) {
	b, err := localfile.Read(path, localfile.Large)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if live {
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	return b, err
}

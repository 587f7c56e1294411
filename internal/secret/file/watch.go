package file

import (
	"context"
	"io/fs"
	"os"
	"time"
)

// lookShare bounds the looking to one part in so many of the time: a hundred thousand files are looked at less often.
const lookShare = 50

// Watch implements secret.Watcher by looking at the files' numbers, sizes and times: that sees a file that is written,
// one that is put in its place, and Kubernetes' exchange of a whole folder, on every file system, where notifications
// miss the one or the other. It begins with "": what has changed between the last Get and now is not known.
func (s *Store) Watch(ctx context.Context, paths []string, changed func(path string)) error {
	known := make(map[string]fs.FileInfo, len(paths))
	s.look(paths, func(path string, now fs.FileInfo) { known[path] = now })
	changed("")
	timer := time.NewTimer(s.poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		start := time.Now()
		s.look(paths, func(path string, now fs.FileInfo) {
			if !same(known[path], now) {
				known[path] = now
				changed(path)
			}
		})
		timer.Reset(max(s.poll, lookShare*time.Since(start)))
	}
}

// look calls saw for each path, with nil for what is not there.
func (s *Store) look(paths []string, saw func(path string, now fs.FileInfo)) {
	root, err := os.OpenRoot(s.dir)
	if err == nil {
		defer root.Close() //nolint:errcheck // a folder, opened to read
	}
	for _, path := range paths {
		var now fs.FileInfo
		if name, errName := s.name(path); err == nil && errName == nil {
			if now, errName = root.Stat(name); errName != nil {
				now = nil
			}
		}
		saw(path, now)
	}
}

package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/localfile"
	"sallyport/internal/pause"
)

// A file that is being written is short for a moment, and YAML that ends early is often still YAML. What a reload reads
// has therefore to stay as it is for a moment, and what takes services away has to be meant.
const (
	steadyFor = 200 * time.Millisecond // two readings this far apart have to agree
	goneFor   = 2 * time.Second        // a file that was read before is away for this long before it counts as removed
	// files that go on changing for so long are an error; the watcher sees the last change
	steadyWait = 15 * time.Second
	readMost   = 8 << 20 // bytes of one file; the configuration refuses less than this
)

// look is what files held at one instant.
type look struct {
	sum   [sha256.Size]byte
	blank []string // files of YAML that are there and hold nothing but white space
}

// lookAt reads names, and the YAML files of those that are folders. What cannot be read counts by its error.
func lookAt(names []string) (l look) {
	h, named := sha256.New(), make(map[string]bool, len(names))
	for _, name := range names {
		named[name] = true
	}
	add := func(name string) {
		b, err := localfile.Read(name, readMost)
		h.Write(fmt.Appendf(nil, "%q %d %v\n", name, len(b), err))
		h.Write(b)
		if err == nil && filepath.Ext(name) == ".yaml" && len(bytes.TrimSpace(b)) == 0 {
			l.blank = append(l.blank, name)
		}
	}
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err != nil || info.Mode().IsRegular():
			add(name)
		case info.IsDir():
			inside, _ := filepath.Glob(filepath.Join(name, "[^.]*.yaml"))
			for _, one := range inside {
				if !named[one] {
					add(one)
				}
			}
		}
	}
	h.Sum(l.sum[:0])
	return l
}

// reread reads the files until two readings agree, and refuses what a file looks like while it is written.
func (a *App) reread(ctx context.Context) (*config.Config, config.Warnings, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, steadyWait,
		errors.New("the files go on changing: write each beside and rename it into place"))
	defer cancel()
	active := a.config.Load()
	names, wait := active.Files(), steadyFor
	before := lookAt(names)
	for {
		c, warnings, err := a.o.Reread()
		now := active.Files()
		if c != nil {
			now = union(now, c.Files())
		}
		a.noteRead(active, c)
		if c != nil && missesFile(active, c) {
			wait = goneFor
		}
		if pause.For(ctx, wait) != nil {
			return nil, nil, fmt.Errorf("reading the configuration: %w", context.Cause(ctx))
		}
		after := lookAt(now)
		if after.sum != before.sum || !slices.Equal(names, now) {
			before, names, wait = after, now, steadyFor
			continue
		}
		if err == nil {
			err = refuseLoss(active, c, after.blank)
		}
		return c, warnings, err
	}
}

// union appends to a what of b is not in it.
func union(a, b []string) []string {
	known := make(map[string]bool, len(a))
	for _, one := range a {
		known[one] = true
	}
	for _, one := range b {
		if !known[one] {
			known[one], a = true, append(a, one)
		}
	}
	return a
}

// missesFile tells whether a YAML file of the active configuration is not read by c.
func missesFile(active, c *config.Config) bool {
	own := active.Files()
	missing := union(c.Files(), own)[len(c.Files()):]
	return slices.ContainsFunc(missing, func(name string) bool { return filepath.Ext(name) == ".yaml" })
}

// refuseLoss refuses an empty file, and a configuration without services that does not say so while the active one has
// some.
func refuseLoss(active, c *config.Config, blank []string) error {
	switch {
	case len(active.Services) == 0:
		return nil
	case len(blank) > 0:
		return config.Errors{{
			File: blank[0], Message: "the file is empty",
			Hint: "write it whole; `services: {}` in the main file removes all services, and a file of services.d is " +
				"removed by deleting it",
		}}
	case len(c.Services) == 0 && !c.SaysNoServices():
		return config.Errors{{
			File:    c.Files()[0],
			Message: fmt.Sprintf("there are no services, and the active configuration has %d", len(active.Services)),
			Hint:    "write the file whole; `services: {}` removes all",
		}}
	}
	return nil
}

// noteRead notes how the files are that are just being read for c, which is nil when it has errors. What changes later
// is another change to the watcher; that a file was replaced which could not be read is one too.
func (a *App) noteRead(active, c *config.Config) {
	files := filesInForce(active)
	if c != nil {
		files = filesInForce(c)
	}
	for _, name := range files { // also those that a configuration with errors has, and the active one has not
		if filepath.Ext(name) != ".yaml" {
			inside, _ := filepath.Glob(filepath.Join(name, "[^.]*.yaml"))
			files = union(files, inside)
		}
	}
	m := stamps(files)
	a.files.Store(&m)
}

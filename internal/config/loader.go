package config

import (
	"sync"
)

// Loader loads one configuration again and again, as a gate does at each reload. What a file of services.d says is
// kept, and the file is neither parsed nor completed again while its content is the same: its services and tokens are
// the same values in both configurations then, not to be changed by anybody. Each load reads every file, and returns
// what Load would.
type Loader struct {
	kinds Kinds
	path  string

	mu    sync.Mutex
	parts map[string]*part // of the load before, by file
	found *checks
}

// NewLoader returns a Loader of the file at path, which is that of Load. It reads nothing yet.
func NewLoader(kinds Kinds, path string) *Loader {
	return &Loader{kinds: kinds, path: path, found: &checks{}}
}

// Load is Load for the Loader's file.
func (l *Loader) Load() (*Config, Warnings, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := &loading{kinds: l.kinds, known: l.parts, found: l.found}
	c, warns, err := run.load(l.path)
	if run.parts != nil {
		l.parts = run.parts
	}
	return c, warns, err
}

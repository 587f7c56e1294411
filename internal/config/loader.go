package config

import (
	"reflect"
	"sync"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/finding"
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
func (l *Loader) Load() (*Config, finding.Warnings, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	run := &loading{kinds: l.kinds, known: l.parts, found: l.found}
	c, warns, err := run.load(l.path)
	if run.parts != nil {
		l.parts = run.parts
	}
	return c, warns, err
}

// checks are what the check of each service found, for the next load. That hangs on the service, on what a
// configuration has beside services and tokens, and on files that it names; a service with such files is checked each
// time.
type checks struct {
	head   *Config
	before map[*Service]finding.Warnings // found under the same head
	now    map[*Service]finding.Warnings
}

// begin is called before the services of c are checked, when the rest of it is complete. Nothing is broken then.
func (k *checks) begin(c *Config) {
	if k == nil {
		return
	}
	head := headOf(c)
	k.before, k.now = k.now, make(map[*Service]finding.Warnings, len(c.Services))
	if !reflect.DeepEqual(head, k.head) {
		k.head, k.before = head, nil
	}
}

// take adds to the checker's report what is found of a service.
func (k *checks) take(c *checker, name string) {
	if k == nil {
		c.service(name)
		return
	}
	s, rep, own := c.cfg.Services[name], c.rep, &finding.Report{}
	warns, ok := k.before[s]
	if own.Warns = warns; !ok {
		c.rep, c.reads = own, false
		c.service(name)
		c.rep = rep
	}
	rep.Add(own)
	if len(own.Errs) == 0 && (ok || !c.reads) {
		k.now[s] = own.Warns
	}
}

// headOf is what a configuration has beside services and tokens.
func headOf(c *Config) *Config {
	head := &Config{}
	from, to := reflect.ValueOf(c).Elem(), reflect.ValueOf(head).Elem()
	fields, _ := declare.Keys(from.Type())
	for i := range fields {
		if name := fields[i].Name; name != "services" && name != "tokens" {
			to.FieldByIndex(fields[i].Index).Set(from.FieldByIndex(fields[i].Index))
		}
	}
	return head
}

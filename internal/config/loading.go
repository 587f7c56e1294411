package config

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/guard"
)

// loading is one load of a configuration from files.
type loading struct {
	kinds Kinds
	named *Named
	known map[string]*part // of the load before, by file
	found *checks          // of the load before; nil: each service is checked

	texts map[string]text  // of the files of services.d: a second round decides by what the first one read
	parts map[string]*part // those that a next load may use again
	whole []*part          // those that the configuration has
}

// text is what a file holds.
type text struct {
	src []byte
	err error
}

// part is one file of services.d, decoded and complete by itself. It hangs on the file's name and content alone.
type part struct {
	sum             [sha256.Size]byte // of the content
	services        map[string]*Service
	tokens          map[string]*Token
	owned           place.Owned
	underData       map[string]string // what hangs on the data directory too
	decoded, filled *finding.Report
}

func (l *loading) load(path string) (*Config, Warnings, error) {
	optional := path == ""
	if optional {
		path = DefaultName
	}
	src, err := readBounded(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		src, err = nil, nil
	}
	if err != nil {
		return nil, nil, Errors{{
			File: path, Message: "reading the configuration: " + reason(err),
			Hint: unreadableHint(err),
		}}
	}
	for {
		c, rep := newConfig(l.kinds, path, os.ReadFile), finding.NewReport()
		c.named = l.named
		c.decode(path, src, rep)
		if l.named == nil || !l.named.none() {
			l.dropIns(c, rep)
		}
		if l.named != nil && l.named.grow(c.Tokens) {
			continue
		}
		warns, err := l.finish(c, rep)
		if err == nil {
			return c, warns, nil
		}
		if l.named != nil && !l.named.none() { // Load sees what was meant by a word that is misspelt
			if _, _, whole := (&loading{kinds: l.kinds}).load(path); whole != nil {
				err = whole
			}
		}
		return nil, warns, err
	}
}

// finish completes what is not part of a whole, and holds everything against itself.
func (l *loading) finish(c *Config, rep *finding.Report) (Warnings, error) {
	whole := make(map[string]bool)
	for _, p := range l.whole {
		rep.Add(p.filled)
		for owner := range p.owned {
			whole[owner] = true
		}
	}
	services, tokens := c.Services, c.Tokens
	c.Services, c.Tokens = without(services, "services.", whole), without(tokens, "tokens.", whole)
	c.applyPresets(rep)
	c.applyDefaults(reflect.ValueOf(c).Elem(), nil)
	c.Services, c.Tokens = services, tokens
	c.hold(rep, l.found)
	return rep.Finish()
}

// without are the entries whose key is not in keys.
func without[V any](all map[string]V, prefix string, keys map[string]bool) map[string]V {
	out := make(map[string]V)
	for name, v := range all {
		if !keys[prefix+name] {
			out[name] = v
		}
	}
	return out
}

// dropIns reads services.d/*.yaml, and takes them in the order of their names.
func (l *loading) dropIns(c *Config, rep *finding.Report) {
	names := c.dropInNames(rep)
	texts, parts := make([]text, len(names)), make([]*part, len(names))
	each(len(names), func(i int) {
		texts[i] = l.read(names[i])
		if texts[i].err == nil && l.named.mayBeIn(texts[i].src) {
			parts[i] = l.part(c.files[0], names[i], texts[i].src)
		}
	})
	l.texts, l.parts, l.whole = make(map[string]text, len(names)), make(map[string]*part, len(names)), nil
	for i, name := range names {
		c.addFile(name)
		l.texts[name] = texts[i]
		switch p := parts[i]; {
		case texts[i].err != nil:
			rep.Unparsed = true
			rep.Fail(place.Position{File: name}, "reading the file: "+reason(texts[i].err), "")
		case p == nil:
		case p.clashes(c): // who reports that has to decode it into what is there
			c.dropIn(name, texts[i].src, rep)
		default:
			l.take(c, name, p, rep)
		}
	}
}

// dropInNames are the files of services.d in order.
func (c *Config) dropInNames(rep *finding.Report) (names []string) {
	folder := filepath.Join(c.dir, dropIns)
	c.addFile(folder) // also when it is not there: a watcher has to see it come
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		rep.Fail(place.Position{File: folder}, "reading the folder: "+reason(err), "")
		return nil
	}
	for _, e := range entries {
		name := filepath.Join(folder, e.Name())
		switch ext := filepath.Ext(e.Name()); {
		case strings.HasPrefix(e.Name(), ".") || e.IsDir():
		case ext == ".yaml":
			names = append(names, name)
		case ext == ".yml":
			rep.Warn(place.Position{File: name}, "only *.yaml is read in "+dropIns, "rename it")
		}
	}
	return names
}

// each calls do for 0 to n-1, on as many cores as there are.
func each(n int, do func(i int)) {
	var next atomic.Int64
	var running guard.Group
	for range min(n, runtime.GOMAXPROCS(0)) {
		running.Go("reading the configuration", func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	running.Wait()
}

func (l *loading) read(name string) text {
	if t, ok := l.texts[name]; ok {
		return t
	}
	src, err := readBounded(name)
	return text{src, err}
}

// part decodes a file, unless that has been done. main is the main file.
func (l *loading) part(main, name string, src []byte) *part {
	sum := sha256.Sum256(src)
	if p := l.known[name]; p != nil && p.sum == sum && l.named == nil {
		return p
	}
	c, p := newConfig(l.kinds, main, nil), &part{sum: sum, decoded: finding.NewReport(), filled: finding.NewReport()}
	c.named = l.named
	c.dropIn(name, src, p.decoded)
	p.filled.Broken = p.decoded.Broken
	c.applyPresets(p.filled)
	c.applyOwnDefaults()
	p.services, p.tokens, p.owned, p.underData = c.Services, c.Tokens, c.positions.Owned, c.underData
	return p
}

// clashes tells whether c has one of the part's names already.
func (p *part) clashes(c *Config) bool {
	for name := range p.services {
		if _, dup := c.Services[name]; dup {
			return true
		}
	}
	for name := range p.tokens {
		if _, dup := c.Tokens[name]; dup {
			return true
		}
	}
	return false
}

// take puts a part into c.
func (l *loading) take(c *Config, name string, p *part, rep *finding.Report) {
	rep.Add(p.decoded)
	c.Services, c.Tokens = union(c.Services, p.services), union(c.Tokens, p.tokens)
	c.positions.Take(p.owned)
	maps.Copy(c.underData, p.underData)
	l.whole = append(l.whole, p)
	if len(p.underData) == 0 { // or else c.settle changes its services
		l.parts[name] = p
	}
}

// union adds what is in more to all, which may be nil.
func union[V any](all, more map[string]V) map[string]V {
	if all == nil && more != nil {
		all = make(map[string]V, len(more))
	}
	maps.Copy(all, more)
	return all
}

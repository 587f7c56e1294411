package preset

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed data/*.yaml table/*.yaml
var embedded embed.FS

// library is the presets as they are written. They are decoded one by one when asked for: a configuration names few of
// them.
type library struct {
	names  []string // sorted
	text   map[string][]byte
	byHand map[string]bool // those that have a file of their own
}

var embeddedLibrary = sync.OnceValue(func() library {
	s := library{text: map[string][]byte{}, byHand: map[string]bool{}}
	err := fs.WalkDir(embedded, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		src, err := embedded.ReadFile(path)
		if name, ok := strings.CutPrefix(path, "data/"); ok {
			name = strings.TrimSuffix(name, ".yaml")
			s.byHand[name] = true
			return errors.Join(err, s.add(name, src))
		}
		return errors.Join(err, s.table(src))
	})
	if err != nil {
		panic(fmt.Sprintf("reading the embedded presets: %v", err)) // they are in the binary, and a test reads them
	}
	slices.Sort(s.names)
	return s
})

func (s *library) add(name string, text []byte) error {
	if s.text[name] != nil {
		return fmt.Errorf("preset %q stands there twice", name)
	}
	s.names, s.text[name] = append(s.names, name), text
	return nil
}

// table cuts a file of many presets at the lines that begin with a name. Each entry is indented by two spaces.
func (s *library) table(src []byte) error {
	var name string
	var entry []byte
	var errs []error
	flush := func() {
		if name != "" {
			errs = append(errs, s.add(name, entry))
		}
	}
	for line := range bytes.Lines(src) {
		if rest, ok := bytes.CutPrefix(line, []byte("  ")); ok {
			entry = append(entry, rest...)
			continue
		}
		if key, _, ok := bytes.Cut(line, []byte(":")); ok && line[0] != '#' {
			flush()
			name, entry = string(key), nil
		}
	}
	flush()
	return errors.Join(errs...)
}

// Names returns the presets' names, sorted.
func Names() []string { return slices.Clone(embeddedLibrary().names) }

// ByHand tells the presets that were written from the API's own documentation, each in a file of its own.
func (p Preset) ByHand() bool { return embeddedLibrary().byHand[p.Name] }

// All returns every preset, sorted by name.
func All() []Preset {
	names := Names()
	all := make([]Preset, len(names))
	for i, name := range names {
		all[i], _ = Lookup(name)
	}
	return all
}

// Lookup returns the preset of that name.
func Lookup(name string) (Preset, bool) {
	src, ok := embeddedLibrary().text[name]
	if !ok {
		return Preset{}, false
	}
	p := Preset{Name: name}
	if err := yaml.NewDecoder(bytes.NewReader(src), yaml.Strict()).Decode(&p); err != nil {
		panic(fmt.Sprintf("reading the embedded preset %q: %v", name, err)) // a test reads them all
	}
	return p, true
}

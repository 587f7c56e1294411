package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
	"sallyport/internal/config/wording"
	"sallyport/internal/localfile"
)

// DefaultName is the file that Load reads when it is given none.
const DefaultName = "sallyport.yaml"

// dropIns is the folder beside the main file with further services and tokens.
const dropIns = "services.d"

// ReadFunc reads a file that a configuration names (certificates), so that what it points to is checked at load.
type ReadFunc func(name string) ([]byte, error)

// Default returns the configuration of an empty file.
func Default(kinds Kinds) *Config {
	c, rep := newConfig(kinds, DefaultName, nil), finding.NewReport()
	c.complete(rep)
	return c
}

// Load reads the file at path and services.d/*.yaml beside it. With path "" it reads ./sallyport.yaml, or, when that is
// not there, returns the defaults with no services. The error is an Errors, or says that a file cannot be read.
func Load(kinds Kinds, path string) (*Config, finding.Warnings, error) { return load(kinds, path, nil) }

// LoadHead is Load without the services and tokens, for commands that act on the gate's state alone: it reads the one
// file at path, and neither parses services.d nor refuses for what stands there. A token is revoked at once, also by
// who has 10,000 services, and also while one of them is written wrong.
func LoadHead(kinds Kinds, path string) (*Config, finding.Warnings, error) {
	return load(kinds, path, &Named{})
}

// LoadNamed is Load without the services and tokens that are not named, for a command about a few of them: a file of
// services.d that can hold none of them is not parsed. The services of a named token come with it. What is named is as
// strictly checked as by Load.
func LoadNamed(kinds Kinds, path string, named Named) (*Config, finding.Warnings, error) {
	return load(kinds, path, &named)
}

func load(kinds Kinds, path string, named *Named) (*Config, finding.Warnings, error) {
	return (&loading{kinds: kinds, named: named}).load(path)
}

// Parse reads one file's source under a name, as Load would. It touches no file itself: with read nil, what the source
// names is not checked.
func Parse(kinds Kinds, name string, src []byte, read ReadFunc) (*Config, finding.Warnings, error) {
	c, rep := newConfig(kinds, name, read), finding.NewReport()
	c.decode(name, src, rep)
	return c.finish(rep)
}

// Files returns what the configuration was read from and what it names, for a watcher: yaml files, the services.d
// folder, certificates.
func (c *Config) Files() []string { return slices.Clone(c.files) }

// SaysNoServices tells whether the main file has `services: {}`, and not merely no services.
func (c *Config) SaysNoServices() bool { return c.noServices }

func (c *Config) addFile(name string) {
	if !c.listed[name] {
		c.files, c.listed[name] = append(c.files, name), true
	}
}

func newConfig(kinds Kinds, name string, read ReadFunc) *Config {
	return &Config{
		kinds: kinds, presets: map[string]*preset.Preset{}, positions: place.NewIndex(),
		underData: map[string]string{}, dir: filepath.Dir(name), files: []string{name},
		listed: map[string]bool{name: true}, read: read,
	}
}

func (c *Config) finish(rep *finding.Report) (*Config, finding.Warnings, error) {
	c.complete(rep)
	warns, err := rep.Finish()
	if err != nil {
		return nil, warns, err
	}
	return c, warns, nil
}

// complete fills in presets and defaults, then holds the whole against itself.
func (c *Config) complete(rep *finding.Report) {
	c.applyPresets(rep)
	c.applyDefaults(reflect.ValueOf(c).Elem(), nil)
	c.hold(rep, nil)
}

// hold places files, once the data directory is known, and holds the whole against itself.
func (c *Config) hold(rep *finding.Report, known *checks) {
	c.storeDefaults()
	c.settle()
	if len(rep.Errs) > 0 { // which keep checks from looking at what hangs on a mistake
		known = nil
	}
	known.begin(c)
	if !rep.Unparsed {
		c.check(rep, known)
	}
}

// decode reads one file into c.
func (c *Config) decode(name string, src []byte, rep *finding.Report) {
	root, ok := document.Parse(name, src, rep)
	if !ok {
		rep.Unparsed = true
		return
	}
	if root == nil {
		if src != nil {
			rep.Warn(place.Position{File: name, Line: 1, Col: 1}, "the file holds no keys",
				"docs/configuration.md shows them")
		}
		return
	}
	c.noServices = slices.ContainsFunc(root.Pairs, func(p document.Pair) bool {
		return p.Key.Text == "services" && p.Value.Kind == document.Map && len(p.Value.Pairs) == 0
	})
	if root.Kind != document.Map {
		rep.Unparsed = true
		rep.Fail(root.At, "the file is not a map of keys", "begin with a key such as services:")
		return
	}
	c.decoder(rep, filepath.Dir(name)).Structure(c.named.of(root), reflect.ValueOf(c).Elem(), nil)
}

// dropIn reads one file of services.d into c.
func (c *Config) dropIn(name string, src []byte, rep *finding.Report) {
	root, ok := document.Parse(name, src, rep)
	if !ok || root == nil {
		rep.Unparsed = rep.Unparsed || !ok
		return
	}
	if root.Kind != document.Map {
		rep.Fail(root.At, "the file is not a map of keys", "a file in services.d has the keys services and tokens")
		return
	}
	kept := *root
	kept.Pairs = nil
	for _, p := range root.Pairs {
		if p.Key.Text != "services" && p.Key.Text != "tokens" {
			rep.Fail(p.Key.At, "the key "+wording.Show(p.Key.Text)+" does not belong in "+dropIns,
				dropInHint(p.Key.Text))
			continue
		}
		kept.Pairs = append(kept.Pairs, p)
	}
	c.decoder(rep, filepath.Dir(name)).Structure(c.named.of(&kept), reflect.ValueOf(c).Elem(), nil)
}

func dropInHint(key string) string {
	top, _ := declare.Keys(reflect.TypeFor[Config]())
	if slices.Contains(declare.KeyNames(top), key) {
		return "move it to the main file"
	}
	if word := wording.Nearest(key, []string{"services", "tokens"}); word != "" {
		return "did you mean \"" + word + "\"?"
	}
	return "a file here has the keys services and tokens; a service stands below services:"
}

// readBounded reads at most a little more than a configuration may have.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > document.MaxBytes:
		return nil, errors.New("larger than 4 MiB: split it over services.d/*.yaml")
	}
	return localfile.Read(name, document.MaxBytes) // bounded itself: the file may have been changed since
}

// unreadableHint is what to do about a configuration that cannot be read.
func unreadableHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "the user that runs this command must have the right to read it"
	case errors.Is(err, fs.ErrNotExist):
		return "check the path, or make a configuration with `sallyport init`"
	}
	return "name the file itself with --config"
}

// reason is the system's word for it, without the path that the message has already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

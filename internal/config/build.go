package config

import (
	"path/filepath"
	"reflect"
	"slices"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/document"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
	"sallyport/internal/config/wording"
)

func newConfig(kinds Kinds, name string, read ReadFunc) *Config {
	return &Config{
		kinds: kinds, presets: map[string]*preset.Preset{}, positions: place.NewIndex(),
		underData: map[string]string{}, dir: filepath.Dir(name), files: []string{name},
		listed: map[string]bool{name: true}, read: read,
	}
}

func (c *Config) finish(rep *finding.Report) (*Config, Warnings, error) {
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

// DefaultName is the file that Load reads when it is given none.
const DefaultName = "sallyport.yaml"

// dropIns is the folder beside the main file with further services and tokens.
const dropIns = "services.d"

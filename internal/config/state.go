package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
)

// Kinds returns the kinds with which the configuration was read.
func (c *Config) Kinds() Kinds { return c.kinds }

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

func (c *Config) has(key string) bool { return c.positions.Has(key) }

func (c *Config) positionOf(key string) place.Position {
	at, _ := c.positions.Get(key)
	return at
}

// at returns where key stands, or what is nearest to it.
func (c *Config) at(key string) place.Position { return c.positions.At(key, c.files[0]) }

// ServiceNames returns the services' names, sorted.
func (c *Config) ServiceNames() []string { return slices.Sorted(maps.Keys(c.Services)) }

// TokenNames returns the tokens' labels, sorted.
func (c *Config) TokenNames() []string { return slices.Sorted(maps.Keys(c.Tokens)) }

// preset returns the preset that a service names; an empty one where there is none.
func (c *Config) preset(s *Service) *preset.Preset {
	p, ok := c.presets[s.Preset]
	if !ok {
		found, _ := preset.Lookup(s.Preset)
		p = &found
		c.presets[s.Preset] = p
	}
	return p
}

// placeFile makes a file name absolute to the folder it was written in. Names under <data>/ follow the data directory.
func (c *Config) placeFile(key, dir, name string) string {
	if rest, ok := strings.CutPrefix(name, dataPrefix); ok {
		c.underData[key] = rest
		return filepath.Join(c.Data, rest)
	}
	delete(c.underData, key)
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

const dataPrefix = "<data>/"

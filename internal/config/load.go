package config

import (
	"sallyport/internal/config/finding"
)

// Default returns the configuration of an empty file.
func Default(kinds Kinds) *Config {
	c, rep := newConfig(kinds, DefaultName, nil), finding.NewReport()
	c.complete(rep)
	return c
}

// Load reads the file at path and services.d/*.yaml beside it. With path "" it reads ./sallyport.yaml, or, when that is
// not there, returns the defaults with no services. The error is an Errors, or says that a file cannot be read.
func Load(kinds Kinds, path string) (*Config, Warnings, error) { return load(kinds, path, nil) }

// LoadHead is Load without the services and tokens, for commands that act on the gate's state alone: it reads the one
// file at path, and neither parses services.d nor refuses for what stands there. A token is revoked at once, also by
// who has 10,000 services, and also while one of them is written wrong.
func LoadHead(kinds Kinds, path string) (*Config, Warnings, error) {
	return load(kinds, path, &Named{})
}

// LoadNamed is Load without the services and tokens that are not named, for a command about a few of them: a file of
// services.d that can hold none of them is not parsed. The services of a named token come with it. What is named is as
// strictly checked as by Load.
func LoadNamed(kinds Kinds, path string, named Named) (*Config, Warnings, error) {
	return load(kinds, path, &named)
}

func load(kinds Kinds, path string, named *Named) (*Config, Warnings, error) {
	return (&loading{kinds: kinds, named: named}).load(path)
}

// Parse reads one file's source under a name, as Load would. It touches no file itself: with read nil, what the source
// names is not checked.
func Parse(kinds Kinds, name string, src []byte, read ReadFunc) (*Config, Warnings, error) {
	c, rep := newConfig(kinds, name, read), finding.NewReport()
	c.decode(name, src, rep)
	return c.finish(rep)
}

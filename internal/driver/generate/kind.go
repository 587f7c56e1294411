// Package generate is the driver without a provider: Sallyport makes the value up, and it counts as soon as the store
// has it. It is for secrets of which Sallyport's own store is the authority, such as one that signs or that a restarted
// service reads.
package generate

import (
	"context"
	_ "embed" // the page

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind generate.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "generate", Summary: "No provider: Sallyport makes the value up, and the store is where it counts.",
		Page:     page,
		Settings: func() driver.Settings { return new(Settings) },
	}
}

// Settings are the keys of a driver of kind generate.
type Settings struct {
	Length   int    `yaml:"length" default:"40" min:"1" max:"4096" doc:"How many characters are drawn at random."`
	Alphabet string `yaml:"alphabet" default:"alphanumeric" doc:"alphanumeric, base64url, digits, hex, lower (with digits) or printable, or the characters themselves."`
	Template string `yaml:"template" eg:"sk-{value}" doc:"What stands around them; {value} is where they go."`
}

func (s *Settings) pattern() driver.Pattern {
	return driver.Pattern{Length: s.Length, Alphabet: s.Alphabet, Template: s.Template}
}

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) { s.pattern().Check(r) }

// Secrets implements driver.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements driver.Settings.
func (s *Settings) Open(context.Context, driver.Host) (driver.Driver, error) {
	return &local{pattern: s.pattern()}, nil
}

type local struct {
	driver.Local
	pattern driver.Pattern
}

// Create implements driver.Driver.
func (l *local) Create(context.Context, driver.Job) (driver.Made, error) {
	value, err := l.pattern.Generate()
	return driver.Made{Value: value}, err
}

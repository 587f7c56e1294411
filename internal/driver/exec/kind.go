package exec

import (
	"cmp"
	"context"
	_ "embed" // the page
	"fmt"
	"maps"
	"slices"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind exec.
func Kind() driver.Kind {
	return driver.Kind{
		Name: "exec", Summary: "A command that does the steps, for whatever has no driver of its own.", Page: page,
		Settings: func() driver.Settings { return new(Settings) },
	}
}

// Settings are the keys of a driver of kind exec.
type Settings struct {
	Command []string      `yaml:"command" eg:"[/etc/sallyport/rotate-crm]" needed:"write command: [/path/to/program]" doc:"The command and its arguments, without a shell. What it is to do stands on its stdin."`
	Timeout time.Duration `yaml:"timeout" default:"1m" min:"1s" max:"4m" doc:"When the command is killed."`
	Pass    []string      `yaml:"pass" eg:"[AWS_PROFILE]" doc:"The variables of Sallyport's environment that the command gets beside PATH and HOME."`

	Files []string `yaml:"files" path:"file" eg:"[/etc/sallyport/crm.py]" doc:"Further files whose content decides what the command does. The program and the script of an interpreter are known without it."`

	Refs map[string]secret.Ref `yaml:"secrets" keys:"name" doc:"Secrets that the command needs, such as an administrator's key, by the name under which it finds them."`

	Mints        bool          `yaml:"mints" default:"false" doc:"The command makes the value, at create. Otherwise Sallyport makes it up, and set tells the command."`
	Lists        bool          `yaml:"lists" default:"false" doc:"The command knows list, and keeps the label that create was given."`
	Deletes      bool          `yaml:"deletes" default:"false" doc:"The command knows delete. Otherwise the old value ends when the new one is set."`
	MaxKeys      int           `yaml:"max_keys" default:"0" min:"0" max:"1000" doc:"How many keys may live at once; 0 for no limit known, 1 where the new value takes the place of the old one."`
	NeedsCurrent bool          `yaml:"needs_current" default:"false" doc:"The command logs in with the current value."`
	Late         time.Duration `yaml:"late" default:"0s" min:"0s" max:"1h" doc:"How long a new key may take until it works everywhere."`

	Length   int    `yaml:"length" default:"40" min:"1" max:"4096" doc:"How many characters a value has that Sallyport makes up."`
	Alphabet string `yaml:"alphabet" default:"alphanumeric" doc:"alphanumeric, base64url, digits, hex, lower (with digits) or printable, or the characters themselves."`
	Template string `yaml:"template" eg:"sk-{value}" doc:"What stands around them; {value} is where they go."`
}

func (s *Settings) pattern() driver.Pattern {
	return driver.Pattern{Length: s.Length, Alphabet: s.Alphabet, Template: s.Template}
}

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) {
	if !s.Mints {
		s.pattern().Check(r)
	}
	if s.Mints && !s.Deletes {
		r.Fail("deletes", "is false, and mints is true: what create made could not be taken back",
			"have the command know delete, and set deletes: true")
	}
	if s.Mints && !s.Lists {
		r.Warn("lists", "is false: a key whose answer was lost cannot be found again",
			"have the command know list, and set lists: true")
	}
	if err := s.others(); err != nil {
		r.Fail("command", "is not yours alone: "+err.Error(), fault.HintOf(err))
	}
	for _, name := range s.Pass {
		r.Variable("pass", name)
	}
}

// Secrets implements driver.Settings.
func (s *Settings) Secrets() []secret.Ref {
	var refs []secret.Ref
	for _, name := range slices.Sorted(maps.Keys(s.Refs)) {
		refs = append(refs, s.Refs[name])
	}
	return refs
}

// Open implements driver.Settings.
func (s *Settings) Open(_ context.Context, on driver.Host) (driver.Driver, error) {
	filled := *s
	filled.Timeout = cmp.Or(s.Timeout, DefaultTimeout)
	files, err := filled.files()
	if err != nil {
		return nil, fmt.Errorf("opening a driver of kind exec: %w", fault.WithHint(err,
			"command: names a program that is there and can be read by Sallyport"))
	}
	return &commanded{s: &filled, on: on, files: files}, nil
}

package httpdriver

import (
	"cmp"
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/pause"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind http.
func Kind() driver.Kind {
	return driver.Kind{
		Name:     "http",
		Summary:  "An API that makes and ends keys: a provider that Sallyport knows, or a definition of your own.",
		Page:     wholePage(),
		Settings: func() driver.Settings { return new(Settings) },
	}
}

// Settings are the keys of a driver of kind http.
type Settings struct {
	Provider   string            `yaml:"provider" eg:"sendgrid" doc:"A provider that Sallyport knows; the page of the driver lists them. Or file."`
	File       string            `yaml:"file" path:"file" eg:"/etc/sallyport/crm-keys.yaml" doc:"A definition of your own, instead of provider."`
	Service    string            `yaml:"service" needed:"write service: and the name of the service that has the administrator's credential" eg:"sendgrid-admin" doc:"The configured service through which the API is called. Its credential is the administrator's."`
	Parameters map[string]string `yaml:"parameters" keys:"name" free:"true" lines:"true" doc:"What the provider's calls need to know, by name; its section of the driver's page lists them. A list is separated by commas."`
	Timeout    time.Duration     `yaml:"timeout" default:"2m" min:"5s" max:"4m" doc:"How long a step may take at the most, waits included."`
}

// DefaultTimeout is how long a step may take if the settings do not say.
const DefaultTimeout = 2 * time.Minute

// Services implements driver.Calling.
func (s *Settings) Services() map[string]string { return map[string]string{"service": s.Service} }

// Check implements driver.Settings.
func (s *Settings) Check(r secret.Report) {
	d, at, err := s.definition()
	if err != nil {
		hint := "write one of " + strings.Join(Providers(), ", ") + ", or file: and the path of a definition"
		if at == "file" {
			hint = cmp.Or(fault.HintOf(err), "the page of the driver http says how a definition is written")
		}
		r.Fail(at, err.Error(), hint)
		return
	}
	_, wrong := d.parameters(s.Parameters)
	for _, one := range wrong {
		r.Fail(one.key, one.message, one.hint)
	}
	if len(d.Create) > 0 && d.Label == nil {
		r.Warn(at, "is an API whose keys have no label: a key whose answer was lost has to be deleted by hand",
			"the run names it then")
	}
}

// definition reads the definition. at is the key that names it.
func (s *Settings) definition() (d *Definition, at string, err error) {
	d, _, at, err = s.read()
	return d, at, err
}

// read is definition with the file that it was read from.
func (s *Settings) read() (d *Definition, from driver.File, at string, err error) {
	switch {
	case s.Provider != "" && s.File != "":
		return nil, from, "file", errors.New("stands beside provider")
	case s.File != "":
		text, err := localfile.Read(s.File, maxDefinition)
		if err != nil {
			return nil, from, "file", fmt.Errorf("cannot be read: %w", err)
		}
		if err := localfile.OthersMayWrite(s.File); err != nil {
			return nil, from, "file", fmt.Errorf("decides what is called with the administrator's credential: %w", err)
		}
		if d, err = Parse(text); err != nil {
			return nil, from, "file", fmt.Errorf("is not usable: %w", err)
		}
		return d, driver.FileOf(s.File, text), "file", nil
	case !slices.Contains(Providers(), s.Provider):
		return nil, from, "provider", errors.New("is not a provider that Sallyport knows")
	}
	if d, err = provider(s.Provider); err != nil {
		return nil, from, "provider", err
	}
	text, err := files.ReadFile("provider/" + s.Provider + ".yaml")
	return d, driver.FileOf("provider "+s.Provider, text), "provider", err
}

// Secrets implements driver.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements driver.Settings.
func (s *Settings) Open(_ context.Context, on driver.Host) (driver.Driver, error) {
	d, from, at, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("opening a driver of kind http: %s %w", at, err)
	}
	values, wrong := d.parameters(s.Parameters)
	if len(wrong) > 0 {
		return nil, fmt.Errorf("opening a driver of kind http: %s %s", wrong[0].key, wrong[0].message)
	}
	return &api{
		def: d, from: from, service: s.Service, parameters: values, timeout: cmp.Or(s.Timeout, DefaultTimeout),
		now: time.Now, pause: pause.For, do: on.Do,
	}, nil
}

// Package preset holds the services that ship with Sallyport: where an API is, and where its credential goes.
//
// Each is one YAML file under data/, written from the API's own documentation, which it names. It is data: package config
// fills a service from it, and nothing here talks to a network.
//
// Invariant: a preset never holds a secret, and its upstream is https.
package preset

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed data/*.yaml
var data embed.FS

// Preset is one API. What is empty is left to the service that names the preset, or to its defaults.
type Preset struct {
	Name          string            `yaml:"-"` // the file's name
	Title         string            `yaml:"title"`
	Docs          string            `yaml:"docs"` // the API's own page on authentication
	N8N           []string          `yaml:"n8n"`  // the n8n credential types that it stands for
	Upstream      string            `yaml:"upstream"`
	UpstreamNeeds []string          `yaml:"upstream_needs"` // what the user has to know to write upstream, such as "subdomain"; then Upstream is empty
	UpstreamEg    string            `yaml:"upstream_example"`
	UsernameNeeds string            `yaml:"username_needs"` // what the user has to give as credential.username
	Credential    Credential        `yaml:"credential"`
	Headers       map[string]string `yaml:"headers"` // set unless the caller sends them
	EncodedSlash  bool              `yaml:"encoded_slash"`
	Test          Test              `yaml:"test"`
	Notes         string            `yaml:"notes"`
	Expect        Expect            `yaml:"expect"`
}

// Credential is where the secret goes: the form of a service's credential without the secret.
type Credential struct {
	Kind     string `yaml:"kind"` // bearer, header, basic or query
	Header   string `yaml:"header"`
	Param    string `yaml:"param"`
	Username string `yaml:"username"`
	Format   string `yaml:"format"`
}

// Test is a call that changes nothing and needs the credential. Path "" means that the API has none that fits everyone.
type Test struct {
	Method string `yaml:"method"` // "" is GET
	Path   string `yaml:"path"`
	Status []int  `yaml:"status"` // nil is [200]
}

// Expect is what the API's documentation says it wants to receive for the secret "s3cret" and, where UsernameNeeds asks
// for one, the user "us3r". It is written by hand and never computed, so that tests can hold the code against it.
type Expect struct {
	Header string `yaml:"header"` // a header's name, or
	Param  string `yaml:"param"`  // a query parameter's
	Value  string `yaml:"value"`  // the whole value
}

// The stand-ins that Expect is written for.
const (
	ExpectSecret   = "s3cret"
	ExpectUsername = "us3r"
)

// Names returns the presets' names, sorted.
func Names() []string {
	entries, err := data.ReadDir("data")
	if err != nil {
		panic(fmt.Sprintf("reading the embedded presets: %v", err)) // they are in the binary
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

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
	src, err := data.ReadFile(path.Join("data", name+".yaml"))
	if err != nil {
		return Preset{}, false
	}
	p := Preset{Name: name}
	if err := yaml.NewDecoder(bytes.NewReader(src), yaml.Strict()).Decode(&p); err != nil {
		panic(fmt.Sprintf("reading the embedded preset %q: %v", name, err)) // a test reads them all
	}
	return p, true
}

package config

import (
	"strings"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
)

// Implied is how settings fill in what follows from others. A key is dotted and counts from the settings.
type Implied struct {
	Service *Service // whose credential it is

	cfg    *Config
	key    string // of the credential
	preset preset.Credential
}

// Has tells whether a key is set, by whatever means.
func (i Implied) Has(key string) bool { return i.cfg.has(i.key + "." + key) }

// Preset is what the preset says of a key, if the credential is of the preset's kind; "" where it says nothing.
func (i Implied) Preset(key string) string { return i.preset.Text(key) }

// Text sets a key that nobody has set, if there is something to set it to.
func (i Implied) Text(key string, to *string, value string) {
	if *to == "" && value != "" {
		*to = value
		i.Note(key)
	}
}

// Note says that a key was given its default.
func (i Implied) Note(key string) {
	i.cfg.positions.Set(i.key+"."+key, place.Position{From: place.FromDefault})
}

// Agent gives calls of the gate's own the User-Agent that the service's requests have, unless their headers, which
// stand at key, have one.
func (i Implied) Agent(key string, headers *map[string]notation.Text) {
	const agent = "User-Agent"
	value := ""
	for name, text := range i.Service.Headers {
		if strings.EqualFold(name, agent) {
			value = text
		}
	}
	if value == "" {
		return
	}
	for name := range *headers {
		if strings.EqualFold(name, agent) {
			return
		}
	}
	if *headers == nil {
		*headers = map[string]notation.Text{}
	}
	(*headers)[agent] = notation.PlainText(value)
	i.Note(key + "." + agent)
}

// imply gives a credential its kind, if it has none and there is a secret, and has its settings fill in the rest.
func (c *Config) imply(s *Service, cred *Credential, key string) {
	if cred.Settings == nil {
		return
	}
	if usual, ok := c.kinds.usual(); ok && cred.Kind == "" && c.has(key+".secret") {
		cred.Kind = usual.Name
		c.positions.Set(key+".kind", place.Position{From: place.FromDefault})
	}
	if implying, ok := cred.Settings.(Implying); ok && cred.Kind != "" {
		of := Implied{Service: s, cfg: c, key: key}
		if p := c.preset(s).Credential; p.Kind == cred.Kind {
			of.preset = p
		}
		implying.Imply(of)
	}
}

// settingsFor gives a credential empty settings of a kind, if it has none.
func (c *Config) settingsFor(cred *Credential, kind string) {
	if one, ok := c.kinds.Credential(kind); ok && cred.Settings == nil {
		cred.Settings = one.Settings()
	}
}

package config

import (
	"strings"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
)

// Implied is how settings fill in what follows from others. A key is dotted and counts from the settings.
type Implied struct {
	Around Surroundings

	key    string // of the credential
	places *place.Index
	preset preset.Credential
}

// Has tells whether a key is set, by whatever means.
func (i Implied) Has(key string) bool { return i.places.Has(i.key + "." + key) }

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
	i.places.Set(i.key+"."+key, place.Position{From: place.FromDefault})
}

// Agent gives calls of the gate's own the User-Agent that the service's requests have, unless their headers, which
// stand at key, have one.
func (i Implied) Agent(key string, headers *map[string]Text) {
	const agent = "User-Agent"
	value := ""
	for name, text := range i.Around.Headers {
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
		*headers = map[string]Text{}
	}
	(*headers)[agent] = notation.PlainText(value)
	i.Note(key + "." + agent)
}

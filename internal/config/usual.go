package config

import (
	"reflect"
	"strconv"

	"sallyport/internal/config/decode"
	"sallyport/internal/config/document"
	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
)

// usualKinds notes of which kind each credential of a service is that names none: the kind that the preset has there,
// or that of a credential of which the secret alone is written.
func (c *Config) usualKinds(t reflect.Type, pairs []document.Pair, path place.Path) map[string]string {
	if t != reflect.TypeFor[Service]() {
		return nil
	}
	kinds := map[string]string{}
	var s Service
	var secretly bool // `secret` stands beside credential
	written := map[string]*document.Node{}
	for _, p := range pairs {
		written[p.Key.Text] = p.Value
		secretly = secretly || p.Key.Text == "secret"
	}
	if name := written["preset"]; name != nil && name.Kind == document.Scalar {
		s.Preset = name.Text
	}
	p := c.preset(&s)
	one, several := written["credential"], written["credentials"]
	if p.Credential.Kind != "" {
		kinds[path.Child("credential").String()] = p.Credential.Kind
	} else if usual, ok := c.kinds.usual(); ok && (secretly || one.Has("secret")) {
		kinds[path.Child("credential").String()] = usual.Name
	}
	if several == nil {
		return kinds
	}
	for i, item := range several.Items {
		key := path.Child("credentials").Child(strconv.Itoa(i)).String()
		if len(p.Credentials) == len(several.Items) {
			kinds[key] = p.Credentials[i].Kind
		} else if usual, ok := c.kinds.usual(); ok && item.Has("secret") {
			kinds[key] = usual.Name
		}
	}
	return kinds
}

// decoder returns one that writes into c what stands in a file of the folder dir.
func (c *Config) decoder(rep *finding.Report, dir string) *decode.Decoder {
	return &decode.Decoder{
		Families: c.kinds.familyOf, Places: &c.positions, Report: rep, Usual: c.usualKinds,
		File: func(key, name string) string { return c.placeFile(key, dir, name) },
	}
}

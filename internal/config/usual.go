package config

import (
	"strconv"

	"sallyport/internal/config/document"
	"sallyport/internal/config/place"
)

// usualKinds notes of which kind each credential of a service is that names none: the kind that the preset has there,
// or that of a credential of which the secret alone is written.
func (d *decoder) usualKinds(pairs []document.Pair, path place.Path) {
	d.usual = map[string]string{}
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
	p := d.cfg.preset(&s)
	one, several := written["credential"], written["credentials"]
	if p.Credential.Kind != "" {
		d.usual[path.Child("credential").String()] = p.Credential.Kind
	} else if usual, ok := d.cfg.kinds.usual(); ok && (secretly || one.Has("secret")) {
		d.usual[path.Child("credential").String()] = usual.Name
	}
	if several == nil {
		return
	}
	for i, item := range several.Items {
		key := path.Child("credentials").Child(strconv.Itoa(i)).String()
		if len(p.Credentials) == len(several.Items) {
			d.usual[key] = p.Credentials[i].Kind
		} else if usual, ok := d.cfg.kinds.usual(); ok && item.Has("secret") {
			d.usual[key] = usual.Name
		}
	}
}

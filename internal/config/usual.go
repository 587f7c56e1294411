package config

import "strconv"

// usualKinds notes of which kind each credential of a service is that names none: the kind that the preset has there,
// or that of a credential of which the secret alone is written.
func (d *decoder) usualKinds(pairs []pair, path keyPath) {
	d.usual = map[string]string{}
	var s Service
	var secretly bool // `secret` stands beside credential
	written := map[string]*node{}
	for _, p := range pairs {
		written[p.key.text] = p.value
		secretly = secretly || p.key.text == "secret"
	}
	if name := written["preset"]; name != nil && name.kind == scalarNode {
		s.Preset = name.text
	}
	p := d.cfg.preset(&s)
	one, several := written["credential"], written["credentials"]
	if p.Credential.Kind != "" {
		d.usual[path.child("credential").String()] = p.Credential.Kind
	} else if usual, ok := d.cfg.kinds.usual(); ok && (secretly || hasKey(one, "secret")) {
		d.usual[path.child("credential").String()] = usual.Name
	}
	if several == nil {
		return
	}
	for i, item := range several.items {
		key := path.child("credentials").child(strconv.Itoa(i)).String()
		if len(p.Credentials) == len(several.items) {
			d.usual[key] = p.Credentials[i].Kind
		} else if usual, ok := d.cfg.kinds.usual(); ok && hasKey(item, "secret") {
			d.usual[key] = usual.Name
		}
	}
}

// hasKey tells whether n is a map with a key.
func hasKey(n *node, key string) bool {
	if n == nil {
		return false
	}
	for _, p := range n.pairs {
		if p.key.text == key {
			return true
		}
	}
	return false
}

package config

import (
	"cmp"
	"strings"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/preset"
)

// ShowPreset writes a preset's credential for the table of presets: "header: `X-API-Key: {secret}`", or of a kind that
// obtains a token "KIND: `where it comes from` → `where it goes`".
func (k Kinds) ShowPreset(c preset.Credential) string {
	kind, _ := k.Credential(c.Kind)
	if kind.Settings == nil || kind.Settings().Class() != Derived {
		return k.shown(c.Kind, c.Text)
	}
	usual, _ := k.usual()
	goes := k.shown(cmp.Or(c.Text("place", "kind"), usual.Name), func(path ...string) string {
		return c.Text(append([]string{"place"}, path...)...)
	})
	_, goes, _ = strings.Cut(goes, "`")
	return c.Kind + ": `" + kind.Shown(c.Text) + "` → `" + strings.Replace(goes, "{secret}", "{token}", 1)
}

// shown is the kind's name, and behind it what its keys say.
func (k Kinds) shown(name string, text func(...string) string) string {
	kind, ok := k.Credential(name)
	if !ok || kind.Shown == nil {
		return name
	}
	return name + ": " + kind.Shown(text)
}

// PresetSlots are where the credentials go of a service that names a preset and says nothing else, in the preset's
// order. The zero Slot stands for the one place that a kind has whatever its keys say.
func (k Kinds) PresetSlots(name string) []Slot {
	c, s := newConfig(k, DefaultName, nil), &Service{Preset: name}
	c.Services = map[string]*Service{name: s}
	if several := c.preset(s).Credentials; len(several) > 0 {
		s.Credentials = make([]Credential, len(several))
	}
	c.applyPresets(finding.NewReport()) // what such a service lacks is none of this
	c.applyOwnDefaults()
	var out []Slot
	for _, cred := range s.Placements() {
		slot := cred.Slot()
		if kind, ok := k.Credential(cred.Kind); ok && slot == kind.Settings().Slot() {
			slot = Slot{}
		}
		out = append(out, slot)
	}
	return out
}

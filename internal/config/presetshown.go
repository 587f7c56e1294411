package config

import (
	"cmp"
	"strings"

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

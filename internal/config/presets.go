package config

import (
	"fmt"
	"strconv"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
	"sallyport/internal/config/wording"
)

// applyPresets fills services from the presets they name, gives credentials what their kind implies, and puts inputs in
// their places.
func (c *Config) applyPresets(rep *finding.Report) {
	for _, name := range c.ServiceNames() {
		s, key := c.Services[name], "services."+name
		c.shortSecret(rep, s, key)
		p := c.preset(s)
		switch {
		case p.Name != "":
			(&merger{cfg: c, rep: rep, key: key, from: place.FromPreset + p.Name}).merge(s, p)
		case s.Preset != "":
			rep.Fail(c.at(key+".preset"), fmt.Sprintf("preset of service %q: there is no preset %s", name,
				wording.Show(s.Preset)), presetHint(s.Preset))
		}
		if s.Limits.Burst == 0 && !s.Limits.Rate.IsZero() {
			s.Limits.Burst = max(1, int(s.Limits.Rate.PerSecond()))
			c.positions.Set(key+".limits.burst", place.Position{From: place.FromDefault})
		}
		s.eachCredential(key, func(cred *Credential, at string) {
			c.imply(s, cred, at)
			(&filler{cfg: c, rep: rep, service: s, preset: p, cred: cred, key: at}).fill()
		})
	}
}

func presetHint(got string) string {
	if word := wording.Nearest(got, preset.Names()); word != "" {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	return "docs/presets.md lists them; without one, give upstream and credential"
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
		of := Implied{Around: s.surroundings(), key: key, places: &c.positions}
		if p := c.preset(s).Credential; p.Kind == cred.Kind {
			of.preset = p
		}
		implying.Imply(of)
	}
}

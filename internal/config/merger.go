package config

import (
	"fmt"
	"strings"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/place"
	"sallyport/internal/config/preset"
)

// merger writes a preset's values where the service left them open.
type merger struct {
	cfg  *Config
	rep  *finding.Report
	key  string
	from string
}

// open tells whether a key of the service is not set, and notes that the preset sets it.
func (m *merger) open(key string) bool {
	if m.cfg.has(m.key + "." + key) {
		return false
	}
	m.cfg.positions.Set(m.key+"."+key, place.Position{From: m.from})
	return true
}

func (m *merger) text(key string, to *string, value string) {
	if value != "" && m.open(key) {
		*to = value
	}
}

func (m *merger) list(key string, to *[]string, value []string) {
	if len(value) > 0 && m.open(key) {
		*to = value
	}
}

// meanings says what the secrets of a preset with several credentials are.
func meanings(p *preset.Preset) string {
	out := make([]string, len(p.Credentials))
	for i := range p.Credentials {
		out[i] = p.Credentials[i].Is
	}
	return strings.Join(out, ", ")
}

// severalHint is what to write for them.
func severalHint(p *preset.Preset) string {
	out := make([]string, len(p.Credentials))
	for i := range out {
		out[i] = fmt.Sprintf("{secret: ref+builtin://%s-%d}", p.Name, i+1)
	}
	return "write credentials: [" + strings.Join(out, ", ") + "]"
}

// settingsFor gives a credential empty settings of a kind, if it has none.
func (c *Config) settingsFor(cred *Credential, kind string) {
	if one, ok := c.kinds.Credential(kind); ok && cred.Settings == nil {
		cred.Settings = one.Settings()
	}
}

package service

import (
	"net/http"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

// place notes where the credentials go, and where a caller may put its token therefore.
func (s *Service) place(placements []config.Credential) {
	for i := range placements {
		spec := specOf(&placements[i])
		s.Specs = append(s.Specs, spec)
		if slot := spec.Slot(); slot != (credential.Slot{}) && !slices.Contains(s.Slots, slot) {
			s.Slots = append(s.Slots, slot)
		}
		if settings, ok := placements[i].Settings.(credential.Beside); ok {
			for _, name := range settings.Headers() {
				s.Beside = append(s.Beside, http.CanonicalHeaderKey(name))
			}
		}
	}
}

// specOf is where a credential goes: of a derived one its token.
func specOf(c *config.Credential) credential.Spec {
	if settings, ok := c.Settings.(credential.Settings); ok {
		return settings.Spec()
	}
	return credential.Spec{Kind: c.Kind} // which no recipe can be made of, unless the kind is none
}

// replays tells whether a request may have to be sent twice: with a newer token, or to answer what a server asks.
func replays(placements []config.Credential) bool {
	return slices.ContainsFunc(placements, func(c config.Credential) bool {
		again, ok := c.Settings.(interface{ Replays() bool })
		return ok && again.Replays()
	})
}

// PathPrefixed tells whether a credential is put before the path.
func (s *Service) PathPrefixed() bool {
	return slices.ContainsFunc(s.Slots, func(slot credential.Slot) bool { return slot.Path != "" })
}

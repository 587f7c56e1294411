package service

import (
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
	}
}

// specOf is where a credential goes: of a derived one its token.
func specOf(c *config.Credential) credential.Spec {
	switch {
	case c.Derived() && c.Place == nil:
		return credential.Spec{Kind: credential.KindBearer}
	case c.Derived():
		return credential.Spec{Kind: c.Place.Kind, Header: c.Place.Header, Param: c.Place.Param, Cookie: c.Place.Cookie, Format: c.Place.Format}
	case c.Signing():
		return credential.Spec{Kind: c.Kind, Header: c.Header, Param: c.Param}
	}
	return credential.Spec{
		Kind: c.Kind, Header: c.Header, Param: c.Param, Cookie: c.Cookie, Pointer: c.Pointer, As: c.As,
		Username: c.Username, UserPass: c.UserPass, Format: c.Format,
	}
}

// replays tells whether a request may have to be sent twice: with a newer token, or to answer what a server asks.
func replays(placements []config.Credential) bool {
	return slices.ContainsFunc(placements, func(c config.Credential) bool { return c.Derived() || c.Kind == config.KindDigest })
}

// PathPrefixed tells whether a credential is put before the path.
func (s *Service) PathPrefixed() bool {
	return slices.ContainsFunc(s.Slots, func(slot credential.Slot) bool { return slot.Path != "" })
}

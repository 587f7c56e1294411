package app

import (
	"maps"
	"slices"

	"sallyport/internal/config"
	"sallyport/internal/secret"
)

// setup is the stores of one configuration.
type setup struct {
	config     *config.Config
	set        map[string]*config.Store
	generation map[string]int    // of each store's set-up: a new one is a new identity
	files      map[string]string // stamps of what adapters read once, when they are opened
}

// own tells whether a store is Sallyport's own database.
func (p *setup) own(c *config.Store) bool {
	kind, _ := p.config.Kinds().Store(c.Kind)
	return kind.Own
}

// keeps tells whether what a service names comes from stores that are the same in both.
func (p *setup) keeps(other *setup, c *config.Service) bool {
	if maps.Equal(p.generation, other.generation) {
		return true
	}
	return !slices.ContainsFunc(c.Refs(), func(ref secret.Ref) bool {
		return p.generation[ref.Store] != other.generation[ref.Store]
	})
}

// references are all that a configuration has in use.
func references(c *config.Config) []secret.Ref {
	var list []secret.Ref
	for _, s := range c.Services {
		list = append(list, s.Refs()...)
	}
	for _, t := range c.Tokens {
		if t.Rotate != nil && t.Rotate.Push != nil && t.Rotate.Push.N8N != nil {
			list = append(list, t.Rotate.Push.N8N.APIKey)
		}
	}
	return slices.DeleteFunc(list, secret.Ref.IsZero)
}

package config

import (
	"maps"
	"slices"
	"strings"

	"sallyport/internal/secret"
)

// RotationNames returns the rotations' names, sorted.
func (c *Config) RotationNames() []string { return slices.Sorted(maps.Keys(c.Rotations)) }

// UsersOf returns the services that use a secret, by name, sorted.
func (c *Config) UsersOf(ref secret.Ref) (services []string) {
	for _, name := range c.ServiceNames() {
		for _, one := range c.Services[name].Refs() {
			if SameSecret(one, ref) {
				services = append(services, name)
				break
			}
		}
	}
	return services
}

// ProofOf is a rotation's test with what it takes from the service's own. nil: it has none.
func (c *Config) ProofOf(r *Rotation) *Proof {
	if r.Test == nil {
		return nil
	}
	p := *r.Test
	if s := c.Services[p.Service]; s != nil && s.Test != nil && p.Path == "" {
		p.Path = s.Test.Path
		if p.Method == "" {
			p.Method = s.Test.Method
		}
		if len(p.Expect) == 0 {
			p.Expect = s.Test.Status
		}
	}
	if p.Method == "" {
		p.Method = "GET"
	}
	if len(p.Expect) == 0 {
		p.Expect = []int{200}
	}
	return &p
}

// fleetNames are the names of all fleets, for a hint.
func (c *Config) fleetNames() string {
	if len(c.Fleets) == 0 {
		return "none is configured: add it under fleets (docs/fleet.md), or take restart out"
	}
	return "there are " + strings.Join(slices.Sorted(maps.Keys(c.Fleets)), ", ")
}

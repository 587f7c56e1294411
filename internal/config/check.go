package config

import (
	"maps"
	"slices"

	"sallyport/internal/config/finding"
)

// check holds the whole configuration against itself. It assumes nothing of the decoder but the types. What is known of
// a service by an earlier check is not looked for again; known may be nil.
func (c *Config) check(rep *finding.Report, known *checks) {
	k := &checker{cfg: c, rep: rep, set: map[string]bool{}, written: map[string]bool{}}
	k.listen()
	k.seal()
	k.tls()
	k.database()
	k.tracing()
	for _, name := range slices.Sorted(maps.Keys(c.Stores)) {
		k.store(name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Audit.Sinks)) {
		k.sink(name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fleets)) {
		k.fleet(name)
	}
	for _, name := range c.ServiceNames() {
		known.take(c.Services[name], rep, func(own *finding.Report) bool {
			k.rep, k.reads = own, false
			k.service(name)
			k.rep = rep
			return k.reads
		})
	}
	for _, name := range c.TokenNames() {
		k.token(name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Rotations)) {
		k.rotation(name)
	}
}

package assemble

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
)

// Table builds every service of c, taking over those of old that did not change: their connections, limits and
// credentials live on. keeps tells whether its stores are the same too: or else the credentials of both are in use
// while the change is on its way.
func Table(c *config.Config, old *service.Table, keeps func(*config.Service) bool) (*service.Table, error) {
	var list []*service.Service
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		before, ok := old.Lookup(name)
		if ok && (before.Config == c.Services[name] || reflect.DeepEqual(before.Config, c.Services[name])) &&
			before.Fresh() && keeps(c.Services[name]) {
			list = append(list, before)
			continue
		}
		s, err := service.New(name, c.Services[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if ok {
			s.Inherit(before)
		}
		list = append(list, s)
	}
	return service.NewTable(list), errors.Join(errs...)
}

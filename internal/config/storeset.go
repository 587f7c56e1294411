package config

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"sallyport/internal/config/place"
	"sallyport/internal/secret"
)

// StoreSet returns the stores by name: those of the configuration, and those that are there without an entry.
func (c *Config) StoreSet() map[string]*Store {
	all := make(map[string]*Store)
	for _, kind := range c.kinds.Stores {
		if kind.Always == nil {
			continue
		}
		store := &Store{Kind: kind.Name, Settings: kind.Always()}
		if !kind.Fixed {
			store.MaxStale = defaultMaxStale
		}
		if !kind.Fixed && !kind.Own {
			store.Refresh = cmp.Or(kind.Refresh, secret.DefaultRefresh)
		}
		all[kind.Name] = store
	}
	maps.Copy(all, c.Stores)
	return all
}

const defaultMaxStale = 24 * time.Hour

// storeDefaults gives stores the common keys that their kind implies.
func (c *Config) storeDefaults() {
	for _, name := range slices.Sorted(maps.Keys(c.Stores)) {
		s, key := c.Stores[name], "stores."+name
		switch kind, ok := c.kinds.Store(s.Kind); {
		case !ok:
		case kind.Fixed:
			s.MaxStale = 0
			c.positions.Drop(key + ".max_stale")
		case !kind.Own:
			orDefault(c, key+".refresh", &s.Refresh, cmp.Or(kind.Refresh, secret.DefaultRefresh))
		}
	}
}

func orDefault[T comparable](c *Config, key string, to *T, value T) {
	if !c.has(key) {
		*to = value
		c.positions.Set(key, place.Position{From: place.FromDefault})
	}
}

package config

import (
	"cmp"
	"maps"
	"time"

	"sallyport/internal/config/place"
	"sallyport/internal/secret"
)

// Store is one secret store.
type Store struct {
	Kind     string          `yaml:"kind" needed:"write kind: NAME" doc:"The kind of store, which says what other keys there are."`
	Refresh  time.Duration   `yaml:"refresh" eg:"1m" min:"1s" max:"7d" doc:"How often secrets in use are read again, spread by a tenth; a store that tells of changes by itself is asked whether it answers. Default: 1m, unless the kind says otherwise."`
	MaxStale time.Duration   `yaml:"max_stale" default:"24h" min:"1s" max:"365d" doc:"How long the last known good secret stays active while the store does not confirm it. After that its services answer store_unavailable."`
	Settings secret.Settings `of:"kind"`
}

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
	for _, name := range sortedKeys(c.Stores) {
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

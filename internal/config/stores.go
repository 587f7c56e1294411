package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"sallyport/internal/config/declare"
	"sallyport/internal/secret"
)

// Store is one secret store.
type Store struct {
	Kind     string          `yaml:"kind" needed:"write kind: NAME" doc:"The kind of store, which says what other keys there are."`
	Refresh  time.Duration   `yaml:"refresh" eg:"1m" min:"1s" max:"7d" doc:"How often secrets in use are read again, spread by a tenth; a store that tells of changes by itself is asked whether it answers. Default: 1m, unless the kind says otherwise."`
	MaxStale time.Duration   `yaml:"max_stale" default:"24h" min:"1s" max:"365d" doc:"How long the last known good secret stays active while the store does not confirm it. After that its services answer store_unavailable."`
	Settings secret.Settings `of:"kind"`
}

// Backend tells one store from another: all that is set but how to log in to it and how often it is asked.
func (s *Store) Backend() string {
	where := map[string]any{"kind": s.Kind}
	if v, ok := declare.SettingsIn(reflect.ValueOf(s).Elem()); ok {
		fields, _ := declare.Keys(v.Type())
		for i := range fields {
			if fields[i].Backend == "" {
				where[fields[i].Name] = v.FieldByIndex(fields[i].Index).Interface()
			}
		}
	}
	text, err := json.Marshal(where)
	if err != nil {
		// they are made of words and numbers, which can be written
		panic(fmt.Sprintf("the settings of kind %s: %v", s.Kind, err))
	}
	return string(text)
}

package config

import (
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
)

func (k *checker) store(name string) {
	s, key, kinds := k.cfg.Stores[name], "stores."+name, k.cfg.kinds.familyOf(reflect.TypeFor[Store]()).Names()
	if strings.Contains(name, "_") {
		k.fail(key, "has a '_' in its name, which a reference cannot have", "use '-'")
	}
	if s.Kind == "" {
		k.missing(key, "has no kind", "write kind: NAME, one of "+strings.Join(kinds, ", "))
		return
	}
	if name != s.Kind && slices.Contains(kinds, name) {
		k.fail(key, "has the name of another kind of store than its own, "+s.Kind,
			"call it otherwise, so that a reference says what it means")
	}
	if s.MaxStale > 0 && s.MaxStale < s.Refresh {
		k.fail(key+".max_stale", "is shorter than refresh ("+notation.FormatDuration(s.Refresh)+
			"): secrets would end between two readings", "make it longer")
	}
	if v, ok := declare.SettingsIn(reflect.ValueOf(s).Elem()); ok {
		k.needs(v, key, "of kind "+s.Kind+" ")
		s.Settings.Check(settingsReport{k, key})
	}
}

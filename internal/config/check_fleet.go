package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/wording"
	"sallyport/internal/fleet"
)

func (k *checker) fleet(name string) {
	f, key := k.cfg.Fleets[name], "fleets."+name
	if f.Kind == "" {
		k.missing(key, "has no kind",
			"write kind: NAME, one of "+strings.Join(k.cfg.kinds.familyOf(reflect.TypeFor[Fleet]()).Names(), ", "))
		return
	}
	for _, unit := range slices.Sorted(maps.Keys(f.Health)) {
		if err := fleet.CheckProbe(f.Health[unit]); err != nil {
			k.fail(key+".health", "has for "+wording.Show(unit)+" what "+err.Error(),
				"write http://HOST:PORT, or http://*:PORT for each node's address")
		}
	}
	if v, ok := declare.SettingsIn(reflect.ValueOf(f).Elem()); ok {
		k.needs(v, key, "of kind "+f.Kind+" ")
		f.Settings.Check(settingsReport{k, key})
	}
}

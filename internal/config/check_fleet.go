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
		k.walk(v, key)
	}
	if f.Drain != nil {
		k.drain(f.Drain, key+".drain")
	}
}

func (k *checker) drain(d *FleetDrain, key string) {
	k.needs(reflect.ValueOf(d).Elem(), key, "")
	k.ref(key+".api_key", d.APIKey.Store)
	k.caFile(key+".ca_file", d.CAFile)
	if d.URL != nil && d.URL.Scheme == "http" && !isInternal(d.URL.Hostname()) {
		k.warn(key+".url", "is plain HTTP to a public host: the API key can be read on the way", "use https")
	}
}

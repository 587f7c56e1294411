package config

import (
	"reflect"
	"strings"

	"sallyport/internal/audit/sink"
	"sallyport/internal/config/declare"
)

func (k *checker) sink(name string) {
	s, key := k.cfg.Audit.Sinks[name], "audit.sinks."+name
	if s == nil || k.rep.Broken[key] {
		return
	}
	if s.Kind == "" {
		k.missing(key, "has no kind",
			"write kind: NAME, one of "+strings.Join(k.cfg.kinds.familyOf(reflect.TypeFor[AuditSink]()).Names(), ", "))
		return
	}
	if s.Ship == ShipCheckpoints && s.Format == sink.FormatOCSF {
		k.fail(key+".format", "is for records alone: the signature of a checkpoint covers it as it is",
			"take format out, or write ship: records")
	}
	v, ok := declare.SettingsIn(reflect.ValueOf(s).Elem())
	if !ok {
		return
	}
	k.needs(v, key, "of kind "+s.Kind+" ")
	s.Settings.Check(settingsReport{k, key})
	for _, ref := range s.Settings.Secrets() {
		k.ref(key, ref.Store)
	}
}

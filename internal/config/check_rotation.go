package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/schedule"
)

func (k *checker) rotation(name string) {
	r, key := k.cfg.Rotations[name], "rotations."+name
	k.needs(reflect.ValueOf(r).Elem(), key, "")
	k.rotated(r, name, key)
	k.driver(&r.Driver, key+".driver")
	if r.Test != nil {
		k.proof(r, key+".test")
	}
	if r.Schedule != nil {
		k.schedule(r.Schedule, key+".schedule")
	}
	for i, fleet := range r.Restart {
		at := fmt.Sprintf("%s.restart.%d", key, i)
		switch {
		case k.cfg.Fleets[fleet] == nil && !k.rep.Broken["fleets."+fleet]:
			hint := k.cfg.fleetNames()
			if word := wording.Nearest(fleet, slices.Sorted(maps.Keys(k.cfg.Fleets))); word != "" {
				hint = `did you mean "` + word + `"?`
			}
			k.fail(at, "is a fleet that is not configured: "+wording.Show(fleet), hint)
		case slices.Index(r.Restart, fleet) < i:
			k.fail(at, "names a fleet twice: "+wording.Show(fleet), "keep one")
		}
	}
	for i, ref := range r.Notify {
		k.ref(fmt.Sprintf("%s.notify.%d", key, i), ref.Store)
	}
}

// rotated checks the secret: it can be written, and is no other rotation's.
func (k *checker) rotated(r *Rotation, name, key string) {
	if r.Secret.IsZero() {
		return
	}
	at := key + ".secret"
	k.ref(at, r.Secret.Store)
	if store := k.cfg.StoreSet()[r.Secret.Store]; store != nil {
		if kind, ok := k.cfg.kinds.Store(store.Kind); ok && kind.ReadOnly {
			k.fail(at, "is in a store of kind "+kind.Name+", which cannot be written to",
				"keep it in a store that can: "+strings.Join(k.writable(), ", "))
		}
	}
	if r.Secret.Version != "" {
		k.fail(at, "names one version", "leave ?version=… out: each run makes another version the current one")
	}
	for _, other := range k.cfg.RotationNames() {
		if other < name && SameSecret(k.cfg.Rotations[other].Secret, r.Secret) {
			k.fail(at, "is rotated by "+wording.Show(other)+" too", "keep one of the two")
		}
	}
	for _, service := range k.cfg.UsersOf(r.Secret) {
		for _, ref := range k.cfg.Services[service].Refs() {
			if SameSecret(ref, r.Secret) && ref.Version != "" {
				k.warn(at, "is used by service "+wording.Show(service)+" in version "+wording.Show(ref.Version)+
					", which stays as it is: a new one does not get there", "leave ?version=… out in the service")
			}
		}
	}
}

// writable are the kinds of stores that can be written to.
func (k *checker) writable() (kinds []string) {
	for _, kind := range k.cfg.kinds.Stores {
		if !kind.ReadOnly {
			kinds = append(kinds, kind.Name)
		}
	}
	return kinds
}

func (k *checker) driver(d *Driver, key string) {
	if !k.cfg.has(key) {
		return // which is told already
	}
	if d.Kind == "" {
		k.missing(key, "has no kind",
			"write kind: NAME, one of "+strings.Join(k.cfg.kinds.familyOf(reflect.TypeFor[Driver]()).Names(), ", "))
		return
	}
	v, ok := declare.SettingsIn(reflect.ValueOf(d).Elem())
	if !ok {
		return
	}
	k.needs(v, key, "of kind "+d.Kind+" ")
	d.Settings.Check(settingsReport{k, key})
	for _, ref := range d.Settings.Secrets() {
		k.ref(key, ref.Store)
	}
	if calling, ok := d.Settings.(driver.Calling); ok {
		services := calling.Services()
		for _, at := range slices.Sorted(maps.Keys(services)) {
			k.calls(key+"."+at, services[at])
		}
	}
}

// calls checks that a service is there.
func (k *checker) calls(key, service string) {
	if _, ok := k.cfg.Services[service]; ok || service == "" || k.rep.Broken["services."+service] {
		return
	}
	k.fail(key, "names a service that is not configured: "+wording.Show(service),
		wording.Suggestion(service, k.cfg.ServiceNames()))
}

func (k *checker) proof(r *Rotation, key string) {
	k.calls(key+".service", r.Test.Service)
	s := k.cfg.Services[r.Test.Service]
	if s == nil {
		return
	}
	if users := k.cfg.UsersOf(r.Secret); !slices.Contains(users, r.Test.Service) && !r.Secret.IsZero() {
		hint := "no service uses it"
		if len(users) > 0 {
			hint = "write one that does: " + strings.Join(users, ", ")
		}
		k.fail(key+".service", "does not use the secret: a call to "+wording.Show(r.Test.Service)+
			" would succeed whatever the new value is", hint)
	}
	p := k.cfg.ProofOf(r)
	if !notation.IsMethod(p.Method) {
		k.fail(key+".method", "is not a method", "write it in capitals, such as "+
			cmp.Or(wording.Nearest(p.Method, []string{"GET", "HEAD", "POST", "PUT", "DELETE"}), "GET"))
	}
	switch {
	case p.Path == "":
		k.missing(key, "has no path, and service "+wording.Show(r.Test.Service)+" has no test of its own",
			"write a path below the upstream's, such as path: /v1/models")
	case !strings.HasPrefix(p.Path, "/") || !notation.IsPrintable(p.Path) || strings.Contains(p.Path, "#"):
		k.fail(key+".path", "is not a path", "write it as /models or /models?limit=1")
	}
}

func (k *checker) schedule(s *Schedule, key string) {
	part := func(at string, t schedule.Text) bool {
		_, err := schedule.Parse(t)
		if err == nil {
			return true
		}
		k.fail(key+"."+at, "cannot be read: "+err.Error(), fault.HintOf(err))
		return false
	}
	ok := part("zone", schedule.Text{Zone: s.Zone})
	ok = ok && part("cron", schedule.Text{Cron: s.Cron})
	for i, one := range s.Windows {
		ok = part(fmt.Sprintf("windows.%d", i), schedule.Text{Window: []string{one}}) && ok
	}
	for i, one := range s.Freezes {
		ok = part(fmt.Sprintf("freezes.%d", i), schedule.Text{Freeze: []string{one}}) && ok
	}
	switch {
	case s.Every == 0 && s.Cron == "":
		k.missing(key, "has neither every nor cron",
			"say how often, such as every: 30d; without a schedule it is rotated by command alone")
		return
	case s.Every != 0 && s.Cron != "":
		k.fail(key+".cron", "stands beside every", "keep one")
		return
	case s.Every != 0 && s.Jitter >= s.Every:
		k.fail(key+".jitter", "is not shorter than every ("+notation.FormatDuration(s.Every)+")", "shorten it")
	}
	if parsed, err := schedule.Parse(s.Text()); ok && err == nil {
		// whether there is such a time at all does not hang on today, but for freezes that go on for years
		from := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		if parsed.Next("", from, from).IsZero() {
			k.fail(key, "is of a time that never comes", "look at its cron, windows and freezes together")
		}
	}
}

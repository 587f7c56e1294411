package check

import (
	"cmp"
	"context"
	_ "embed" // the page
	"fmt"
	"maps"
	"slices"

	"sallyport/internal/config"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/secret"
)

//go:embed store-rights.md
var storeRightsPage string

func storeRights() doctor.Check {
	return doctor.Check{
		ID: "store-rights", Title: "Sallyport can read the secrets that it uses, and no others", Severity: doctor.High,
		Asks: "Every store, as whom Sallyport enters it: what may this identity do? Vault by sys/capabilities-self, " +
			"Kubernetes by SelfSubjectAccessReview; no secret is read.",
		Guide: []string{doctor.GuideLeast}, Page: storeRightsPage,
		Look: func(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
			return probes(ctx, on, rightsOf)
		},
	}
}

// probes asks every store that can tell what its identity may do.
func probes(ctx context.Context, on *site.Site, tell func(name string, p secret.Probe) []doctor.Seen,
) (seen []doctor.Seen, err error) {
	c, _, err := on.Config()
	if err != nil {
		return nil, err
	}
	stores, err := on.Stores(ctx, c)
	if err != nil {
		return nil, err
	}
	defer stores.Close() //nolint:errcheck // nothing was written
	uses := usesOf(c)
	set := c.StoreSet()
	kinds := c.Kinds()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		kind, _ := kinds.Store(set[name].Kind)
		if kind.Own || kind.Fixed && len(uses[name]) == 0 || kind.Always != nil && len(uses[name]) == 0 {
			continue // it is Sallyport's own, or there without anybody having named it
		}
		at := fmt.Sprintf("store %s (%s)", name, set[name].Kind)
		store, err := stores.Store(ctx, name)
		if err != nil {
			seen = append(seen, doctor.DarkBy(at, err))
			continue
		}
		prober, can := store.(secret.Prober)
		if !can {
			seen = append(seen, doctor.Dark(at, "this kind of store cannot tell what its identity may do",
				"the store's page under docs/stores has the least rights that do: compare them by hand"))
			continue
		}
		p, err := prober.Probe(ctx, uses[name])
		if err != nil {
			seen = append(seen, doctor.DarkBy(at, err))
			continue
		}
		seen = append(seen, tell(at, p)...)
	}
	if len(seen) == 0 {
		return []doctor.Seen{doctor.Good("sallyport.yaml", "there is no store but Sallyport's own")}, nil
	}
	return seen, nil
}

// rightsOf says what is wrong with an identity's rights.
func rightsOf(at string, p secret.Probe) (seen []doctor.Seen) {
	as := ""
	if p.Identity != "" {
		as = " as " + p.Identity
	}
	for _, r := range p.Rights {
		switch {
		case r.Want == secret.Needed && !r.Held:
			seen = append(seen, doctor.Bad(at, "may not "+r.What+as+", which is in use", r.Fix))
		case r.Want == secret.Excess && r.Held:
			seen = append(seen, doctor.Bad(at, "may "+r.What+as, r.Fix))
		case r.Want == secret.Wide && r.Held:
			seen = append(seen, doctor.Doubtful(at, "may "+r.What+as, r.Fix))
		}
	}
	if len(seen) == 0 {
		seen = append(seen, doctor.Good(at, fmt.Sprintf("may do what it needs to, and nothing more, of %d rights that "+
			"were asked about%s", len(p.Rights), as)))
	}
	return seen
}

// usesOf are the paths in use by store: of services, of tokens that are pushed, of rotations, which write too.
func usesOf(c *config.Config) map[string][]secret.Use {
	uses := make(map[string]map[string]bool)
	add := func(ref secret.Ref, writes bool) {
		if ref.IsZero() {
			return
		}
		if uses[ref.Store] == nil {
			uses[ref.Store] = make(map[string]bool)
		}
		uses[ref.Store][ref.Path] = uses[ref.Store][ref.Path] || writes
	}
	for _, s := range c.Services {
		for _, ref := range s.Refs() {
			add(ref, false)
		}
	}
	for _, t := range c.Tokens {
		if t.Rotate != nil && t.Rotate.Push != nil && t.Rotate.Push.N8N != nil {
			add(t.Rotate.Push.N8N.APIKey, false)
		}
	}
	for _, f := range c.Fleets {
		if f.Drain != nil {
			add(f.Drain.APIKey, false)
		}
	}
	for _, r := range c.Rotations {
		add(r.Secret, true)
		for _, ref := range r.Notify {
			add(ref, false)
		}
		if r.Driver.Settings != nil {
			for _, ref := range r.Driver.Settings.Secrets() {
				add(ref, false)
			}
		}
	}
	all := make(map[string][]secret.Use)
	for store, paths := range uses {
		for path, writes := range paths {
			all[store] = append(all[store], secret.Use{Path: path, Writes: writes})
		}
		slices.SortFunc(all[store], func(a, b secret.Use) int { return cmp.Compare(a.Path, b.Path) })
	}
	return all
}

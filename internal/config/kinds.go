package config

import (
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/audit/sink"
	"sallyport/internal/config/declare"
	"sallyport/internal/config/describe"
	"sallyport/internal/config/notation"
	"sallyport/internal/driver"
	"sallyport/internal/fleet"
	"sallyport/internal/secret"
)

// Kinds are the kinds of what a configuration can have several kinds of. This package knows none by name: internal/app
// has the list, and hands it in.
type Kinds struct {
	Stores      []secret.Kind
	Credentials []CredentialKind
	Fleets      []fleet.Kind
	Drivers     []driver.Kind
	Sinks       []sink.Kind
}

// Credential returns the kind of credential that is called name.
func (k Kinds) Credential(name string) (CredentialKind, bool) {
	return k.credential(func(one CredentialKind) bool { return one.Name == name })
}

// usual is the kind of a credential of which nothing but the secret is written.
func (k Kinds) usual() (CredentialKind, bool) {
	return k.credential(func(one CredentialKind) bool { return one.Usual })
}

func (k Kinds) credential(is func(CredentialKind) bool) (CredentialKind, bool) {
	i := slices.IndexFunc(k.Credentials, is)
	if i < 0 {
		return CredentialKind{}, false
	}
	return k.Credentials[i], true
}

// Store returns the kind of store that is called name.
func (k Kinds) Store(name string) (secret.Kind, bool) {
	i := slices.IndexFunc(k.Stores, func(one secret.Kind) bool { return one.Name == name })
	if i < 0 {
		return secret.Kind{}, false
	}
	return k.Stores[i], true
}

// familyOf returns the kinds that a struct can be of; none if it is of no kind.
func (k Kinds) familyOf(t reflect.Type) declare.Family {
	switch t {
	case reflect.TypeFor[Store]():
		return k.stores()
	case reflect.TypeFor[Fleet]():
		return k.fleets()
	case reflect.TypeFor[Driver]():
		return k.drivers()
	case reflect.TypeFor[AuditSink]():
		return k.sinks()
	case reflect.TypeFor[Credential]():
		all := make(declare.Family, len(k.Credentials))
		for i, kind := range k.Credentials {
			all[i] = declare.Member{Name: kind.Name, Summary: kind.Summary, Empty: func() any {
				return kind.Settings()
			}, Presets: true}
			all[i].Page = "[credentials.md](credentials.md#" + kind.Name + ") has examples."
			if kind.Usual {
				all[i].Usual = "if there is a secret"
			}
		}
		return all
	}
	return nil
}

// families are the structs that are of some kind.
func families() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[Store](), reflect.TypeFor[Credential](), reflect.TypeFor[Fleet](), reflect.TypeFor[Driver](),
		reflect.TypeFor[AuditSink](),
	}
}

func (k Kinds) fleets() declare.Family {
	all := make(declare.Family, len(k.Fleets))
	for i, kind := range k.Fleets {
		title, _, _ := strings.Cut(strings.TrimPrefix(kind.Page, "## "), "\n")
		all[i] = declare.Member{Name: kind.Name, Summary: kind.Summary, Empty: func() any { return kind.Settings() }}
		all[i].Page = "[fleet.md](fleet.md#" + describe.Anchor(title) + ") has more."
	}
	return all
}

func (k Kinds) stores() declare.Family {
	all := make(declare.Family, len(k.Stores))
	for i, kind := range k.Stores {
		all[i] = declare.Member{Name: kind.Name, Summary: kind.Summary, Empty: func() any { return kind.Settings() }}
		all[i].Page = "[stores/" + kind.Name + ".md](stores/" + kind.Name + ".md) has more."
		switch {
		case kind.Fixed:
			all[i].Without = []string{"refresh", "max_stale"}
		case kind.Own:
			all[i].Without = []string{"refresh"}
		case kind.Refresh != 0:
			all[i].Notes = append(all[i].Notes, "`refresh` is "+notation.FormatDuration(kind.Refresh)+" by default.")
		}
		if kind.Always != nil {
			all[i].Notes = append(all[i].Notes, "A store of this kind and name is there without an entry.")
		}
	}
	return all
}

func (k Kinds) drivers() declare.Family {
	all := make(declare.Family, len(k.Drivers))
	for i, kind := range k.Drivers {
		all[i] = declare.Member{Name: kind.Name, Summary: kind.Summary, Empty: func() any { return kind.Settings() }}
		all[i].Page = "[drivers/" + kind.Name + ".md](drivers/" + kind.Name + ".md) has more."
	}
	return all
}

func (k Kinds) sinks() declare.Family {
	all := make(declare.Family, len(k.Sinks))
	for i, kind := range k.Sinks {
		all[i] = declare.Member{Name: kind.Name, Summary: kind.Summary, Empty: func() any { return kind.Settings() }}
		all[i].Page = "[sinks/" + kind.Name + ".md](sinks/" + kind.Name + ".md) has more."
	}
	return all
}

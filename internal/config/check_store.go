package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
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

// ref checks that a reference names a store that is there.
func (k *checker) ref(key, store string) {
	if k.stores == nil {
		k.stores = k.cfg.StoreSet()
	}
	if _, ok := k.stores[store]; ok || store == "" || k.rep.Broken["stores."+store] {
		return
	}
	k.fail(key, "names a store that is not configured",
		suggestStore(store, k.stores, k.cfg.kinds.familyOf(reflect.TypeFor[Store]()).Names()))
}

func suggestStore(got string, all map[string]*Store, kinds []string) string {
	if word := wording.Nearest(got, sortedKeys(all)); word != "" {
		return "did you mean ref+" + word + "://…?"
	}
	if slices.Contains(kinds, got) {
		return fmt.Sprintf("add it: stores: {%s: {kind: %s, …}}; docs/stores/%s.md", got, got, got)
	}
	return "there are " + strings.Join(sortedKeys(all), ", ") + "; others are added under stores"
}

// settingsReport is the checker as the settings of a kind see it. It implements secret.Report.
type settingsReport struct {
	*checker
	owner string // the key of what has the settings
}

func (r settingsReport) at(key string) string {
	if key == "" {
		return r.owner
	}
	return r.owner + "." + key
}

func (r settingsReport) Fail(key, message, hint string) { r.fail(r.at(key), message, hint) }

func (r settingsReport) Warn(key, message, hint string) { r.warn(r.at(key), message, hint) }

func (r settingsReport) URL(key, text string) {
	if _, err := notation.ParseURL(text); text != "" && err != nil {
		r.Fail(key, "is not a URL", "write https://HOST")
	}
}

func (r settingsReport) Address(key, text, example string) {
	host, port, hasPort := strings.Cut(text, ":")
	if text != "" && (!notation.IsHost(host) || (hasPort && !notation.IsPort(port, 1))) {
		r.Fail(key, "is not an address", "write HOST or HOST:PORT, such as "+example)
	}
}

func (r settingsReport) Plain(key string, u *url.URL) {
	if u != nil && u.Scheme == "http" && !isInternal(u.Hostname()) {
		r.Warn(key, "is plain HTTP to a public host: every secret can be read on the way", "use https")
	}
}

func (r settingsReport) Certificates(key, file string) { r.caFile(r.at(key), file) }

func (r settingsReport) Pair(key, certFile, keyFile string) { r.pair(r.at(key), certFile, keyFile) }

func (r settingsReport) Variable(key, name string) {
	if name != "" && (!isVariable(name) || wording.MayBeSecret(name)) {
		r.Fail(key, "is not the name of an environment variable", "write the variable's name; never the value itself")
	}
}

func isVariable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !notation.IsAlnum(r) && r != '_' }) &&
		(s[0] < '0' || s[0] > '9')
}

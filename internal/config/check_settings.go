package config

import (
	"net/url"
	"reflect"
	"strings"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
)

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

// needs reports the keys of v, a struct at key, that have to be there and are not. of goes behind the subject.
func (k *checker) needs(v reflect.Value, key, of string) {
	fields, _ := declare.Keys(v.Type())
	for i := range fields {
		f, child := &fields[i], key+"."+fields[i].Name
		if f.Needed != "" && !k.cfg.has(child) {
			k.missing(key, of+"has no "+f.Name, f.Needed)
		}
		if at := v.FieldByIndex(f.Index); at.Kind() == reflect.Pointer && !declare.IsLeaf(f.Type) && !at.IsNil() {
			k.needs(at.Elem(), child, "")
		}
	}
}

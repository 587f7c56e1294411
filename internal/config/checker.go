package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sallyport/internal/config/finding"
	"sallyport/internal/config/notation"
	"sallyport/internal/config/place"
	"sallyport/internal/config/wording"
	"sallyport/internal/localfile"
)

// checker holds a configuration against itself. It has what several checks need; each check is a file.
type checker struct {
	cfg          *Config
	rep          *finding.Report
	set, written map[string]bool // as indexKeys says
	stores       map[string]*Store
	reads        bool // it has looked for a file
}

// fail reports what is wrong with the value at key.
func (k *checker) fail(key, message, hint string) {
	if !k.rep.Broken[key] {
		k.rep.Fail(k.cfg.at(key), place.Subject(key)+" "+message, hint)
	}
}

// missing reports that owner lacks something, unless an error within owner explains it.
func (k *checker) missing(owner, message, hint string) { k.fail(owner, message, hint) }

func (k *checker) warn(key, message, hint string) {
	if !k.rep.Broken[key] {
		k.rep.Warn(k.cfg.at(key), place.Subject(key)+" "+message, hint)
	}
}

// file reads what the configuration names. ok is false when there is nothing to look at, which is an error only when
// files are checked at all.
func (k *checker) file(key, name string) (content []byte, ok bool) {
	k.reads = true
	k.cfg.addFile(name)
	if k.cfg.read == nil {
		return nil, false
	}
	content, err := k.cfg.read(name)
	if err != nil {
		k.fail(key, "cannot be read: "+reason(err), fileHint(name))
		return nil, false
	}
	return content, true
}

// fileHint names the file, unless something else than a file's name stands there.
func fileHint(name string) string {
	if strings.Contains(name, ":/") || wording.MayBeSecret(filepath.Base(name)) {
		return "write the name of a file"
	}
	return "the file is " + name
}

func (k *checker) caFile(key, name string) {
	if name == "" {
		return
	}
	if pem, ok := k.file(key, name); ok && localfile.AddCertificates(x509.NewCertPool(), pem) != nil {
		k.fail(key, "holds no PEM certificate", fileHint(name))
	}
}

// pair checks cert_file and key_file below key.
func (k *checker) pair(key, certFile, keyFile string) {
	certPEM, okCert := k.file(key+".cert_file", certFile)
	keyPEM, okKey := k.file(key+".key_file", keyFile)
	if !okCert || !okKey {
		return
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		k.fail(key+".cert_file", "and key_file are not a PEM certificate and its key",
			"check that the two belong together")
	}
}

// methodsOf warns of methods that do not exist.
func (k *checker) methodsOf(at string, list ...string) {
	for _, m := range list {
		if doubt, hint := notation.MethodDoubt(m); doubt != "" && notation.IsMethod(m) {
			k.warn(at, doubt, hint)
		}
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
	if word := wording.Nearest(got, slices.Sorted(maps.Keys(all))); word != "" {
		return "did you mean ref+" + word + "://…?"
	}
	if slices.Contains(kinds, got) {
		return fmt.Sprintf("add it: stores: {%s: {kind: %s, …}}; docs/stores/%s.md", got, got, got)
	}
	return "there are " + strings.Join(slices.Sorted(maps.Keys(all)), ", ") + "; others are added under stores"
}

package config

import (
	"reflect"
	"strings"

	"sallyport/internal/audit/sink"
)

func (k *checker) tracing() {
	t := k.cfg.Tracing
	if t == nil {
		return
	}
	const key = "tracing"
	k.needs(reflect.ValueOf(t).Elem(), key, "")
	r := settingsReport{k, key}
	r.Plain("endpoint", t.Endpoint)
	if t.Endpoint != nil && !strings.HasSuffix(t.Endpoint.Path, "/traces") {
		r.Warn("endpoint", "does not end with /v1/traces, where collectors take spans",
			"write https://HOST:4318/v1/traces")
	}
	r.Certificates("ca_file", t.CAFile)
	auth := sink.Auth{Token: t.Token, Header: t.Header}
	auth.Check(r)
	if !t.Token.IsZero() {
		k.ref(key+".token", t.Token.Store)
	}
}

// Package http is the sink that posts records: to Splunk's HTTP Event Collector, or as JSON to whatever takes it.
package http

import (
	"context"
	_ "embed" // the page
	"net/url"

	"sallyport/internal/audit/sink"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// The forms of a body.
const (
	formSplunk = "splunk"
	formNDJSON = "ndjson"
	formJSON   = "json"
)

// Kind is the kind http.
func Kind() sink.Kind {
	return sink.Kind{
		Name: "http", Summary: "Splunk's HTTP Event Collector, or any receiver that takes JSON over HTTP.", Page: page,
		Settings: func() sink.Settings { return new(Settings) },
	}
}

// Settings are the keys of a sink of kind http.
type Settings struct {
	URL        *url.URL   `yaml:"url" needed:"write url: https://HOST/PATH" eg:"https://splunk.internal:8088/services/collector/event" doc:"Where batches are posted to."`
	Form       string     `yaml:"form" default:"ndjson" enum:"splunk ndjson json" doc:"splunk: events of its HTTP Event Collector, whose response says whether it took them; ndjson: a record in each line; json: an array of records."`
	Token      secret.Ref `yaml:"token" eg:"ref+builtin://splunk-hec" doc:"The token, by reference. For splunk it is needed."`
	Header     string     `yaml:"header" default:"Authorization" doc:"The header that the token goes into."`
	Prefix     string     `yaml:"prefix" eg:"ApiKey" doc:"What stands before the token in the header. Default: Splunk for splunk, Bearer in the header Authorization, nothing in another."`
	Index      string     `yaml:"index" eg:"sallyport" doc:"Splunk's index. Default: the token's."`
	SourceType string     `yaml:"sourcetype" default:"sallyport:audit" doc:"Splunk's source type."`
	Gzip       bool       `yaml:"gzip" default:"false" doc:"Compress bodies."`
	CAFile     string     `yaml:"ca_file" path:"file" eg:"./siem-ca.pem" doc:"PEM certificates to trust instead of the system's."`
	CertFile   string     `yaml:"cert_file" path:"file" eg:"./sallyport.crt" doc:"PEM certificate that the receiver wants of clients. Needs key_file."`
	KeyFile    string     `yaml:"key_file" path:"file" eg:"./sallyport.key" doc:"PEM private key of cert_file."`
}

// Check implements sink.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Plain("url", s.URL)
	sink.CheckTLS(r, s.CAFile, s.CertFile, s.KeyFile)
	s.auth().Check(r)
	switch {
	case s.Form == formSplunk && s.Token.IsZero():
		r.Fail("", "has no token, which Splunk wants", "write token: ref+STORE://NAME")
	case s.Form != formSplunk && s.Index != "":
		r.Fail("index", "goes with form splunk alone", "write form: splunk, or take index out")
	}
}

func (s *Settings) auth() *sink.Auth {
	a := &sink.Auth{Token: s.Token, Header: s.Header, Prefix: s.Prefix}
	if s.Form == formSplunk && a.Prefix == "" {
		a.Prefix = "Splunk"
	}
	return a
}

// Secrets implements sink.Settings.
func (s *Settings) Secrets() []secret.Ref { return s.auth().Secrets() }

// Open implements sink.Settings.
func (s *Settings) Open(_ context.Context, on sink.Host) (sink.Sink, error) {
	config, err := sink.TLS(s.CAFile, s.CertFile, s.KeyFile)
	if err != nil {
		return nil, err
	}
	return &receiver{settings: *s, host: on, client: sink.NewClient(config)}, nil
}

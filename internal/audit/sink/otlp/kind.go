// Package otlp is the sink that sends log records to an OpenTelemetry collector, as OTLP over HTTP with protobuf.
package otlp

import (
	"context"
	_ "embed" // the page
	"net/url"
	"strings"

	"sallyport/internal/audit/sink"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind otlp.
func Kind() sink.Kind {
	return sink.Kind{
		Name: "otlp", Summary: "An OpenTelemetry collector, or what takes OTLP as one does, over HTTP.", Page: page,
		Settings: func() sink.Settings { return new(Settings) },
	}
}

// Settings are the keys of a sink of kind otlp.
type Settings struct {
	URL      *url.URL   `yaml:"url" needed:"write url: https://HOST:4318/v1/logs" eg:"https://collector.internal:4318/v1/logs" doc:"Where log records are posted to, path included."`
	Token    secret.Ref `yaml:"token" eg:"ref+builtin://collector" doc:"A token that the receiver wants, by reference."`
	Header   string     `yaml:"header" default:"Authorization" doc:"The header that the token goes into."`
	Prefix   string     `yaml:"prefix" eg:"Api-Token" doc:"What stands before the token. Default: Bearer in the header Authorization, nothing in another."`
	Gzip     bool       `yaml:"gzip" default:"false" doc:"Compress bodies."`
	CAFile   string     `yaml:"ca_file" path:"file" eg:"./collector-ca.pem" doc:"PEM certificates to trust instead of the system's."`
	CertFile string     `yaml:"cert_file" path:"file" eg:"./sallyport.crt" doc:"PEM certificate that the receiver wants of clients. Needs key_file."`
	KeyFile  string     `yaml:"key_file" path:"file" eg:"./sallyport.key" doc:"PEM private key of cert_file."`
}

// Check implements sink.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Plain("url", s.URL)
	if s.URL != nil && !strings.HasSuffix(s.URL.Path, "/logs") {
		r.Warn("url", "does not end with /v1/logs, where collectors take log records",
			"write https://HOST:4318/v1/logs")
	}
	sink.CheckTLS(r, s.CAFile, s.CertFile, s.KeyFile)
	s.auth().Check(r)
}

func (s *Settings) auth() *sink.Auth {
	return &sink.Auth{Token: s.Token, Header: s.Header, Prefix: s.Prefix}
}

// Secrets implements sink.Settings.
func (s *Settings) Secrets() []secret.Ref { return s.auth().Secrets() }

// Open implements sink.Settings.
func (s *Settings) Open(_ context.Context, on sink.Host) (sink.Sink, error) {
	config, err := sink.TLS(s.CAFile, s.CertFile, s.KeyFile)
	if err != nil {
		return nil, err
	}
	return &collector{settings: *s, host: on, client: sink.NewClient(config)}, nil
}

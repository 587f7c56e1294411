package config

import (
	"net/url"

	"sallyport/internal/secret"
)

// Tracing says where traces are exported to, and which.
type Tracing struct {
	Endpoint  *url.URL   `yaml:"endpoint" needed:"write endpoint: https://HOST:4318/v1/traces" eg:"https://collector.internal:4318/v1/traces" doc:"Where spans are posted to, as OTLP over HTTP with protobuf, path included."`
	OneIn     int        `yaml:"one_in" default:"1" min:"1" max:"1000000" doc:"One of so many traces that begin here is exported. Where the caller's traceparent says whether its trace is sampled, that counts."`
	Propagate bool       `yaml:"propagate" default:"true" doc:"The trace goes on at the APIs: they get traceparent and tracestate. false: neither these nor baggage is sent to them."`
	Token     secret.Ref `yaml:"token" eg:"ref+builtin://collector" doc:"A token that the receiver wants, by reference."`
	Header    string     `yaml:"header" default:"Authorization" doc:"The header that the token goes into; in Authorization after Bearer."`
	CAFile    string     `yaml:"ca_file" path:"file" eg:"./collector-ca.pem" doc:"PEM certificates to trust instead of the system's."`
}

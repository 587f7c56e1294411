// Package syslog is the sink that speaks RFC 5424 over TLS, framed as RFC 5425 says.
package syslog

import (
	"context"
	_ "embed" // the page
	"net"
	"strings"

	"sallyport/internal/audit/sink"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind syslog.
func Kind() sink.Kind {
	return sink.Kind{
		Name: "syslog", Summary: "A syslog server over TLS (RFC 5424, RFC 5425): rsyslog, syslog-ng, most SIEMs.",
		Page: page, Settings: func() sink.Settings { return new(Settings) },
	}
}

// defaultPort is the one of syslog over TLS (RFC 5425, section 4.1).
const defaultPort = "6514"

// Settings are the keys of a sink of kind syslog.
type Settings struct {
	Address  string `yaml:"address" needed:"write address: HOST:6514" eg:"logs.internal:6514" doc:"Where the server listens for TLS. The port is 6514 unless it is written."`
	Facility string `yaml:"facility" default:"local0" enum:"user daemon auth authpriv audit local0 local1 local2 local3 local4 local5 local6 local7" doc:"The facility of all messages."`
	AppName  string `yaml:"app_name" default:"sallyport" doc:"APP-NAME of all messages."`
	Ack      string `yaml:"acknowledge" default:"close_notify" enum:"close_notify close" doc:"What says that the server has read a batch: the close_notify of TLS, as RFC 5425 demands, or also the mere end of the connection, for servers that send none (rsyslog with its driver gtls)."`
	CAFile   string `yaml:"ca_file" path:"file" eg:"./syslog-ca.pem" doc:"PEM certificates to trust instead of the system's."`
	CertFile string `yaml:"cert_file" path:"file" eg:"./sallyport.crt" doc:"PEM certificate that the server wants of clients. Needs key_file."`
	KeyFile  string `yaml:"key_file" path:"file" eg:"./sallyport.key" doc:"PEM private key of cert_file."`
}

// ackClose is the value of Ack that takes the end of a connection for an acknowledgement.
const ackClose = "close"

// facilities are those of RFC 5424, section 6.2.1.
func facilities() map[string]int {
	return map[string]int{
		"user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "audit": 13, "local0": 16, "local1": 17, "local2": 18,
		"local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
	}
}

// maxAppName is the greatest length of APP-NAME.
const maxAppName = 48

// Check implements sink.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Address("address", s.Address, "logs.internal:6514")
	sink.CheckTLS(r, s.CAFile, s.CertFile, s.KeyFile)
	if len(s.AppName) > maxAppName || strings.ContainsFunc(s.AppName, unprintable) {
		r.Fail("app_name", "is no APP-NAME: it has more than 48 characters, or others than printable ASCII",
			"write a word such as sallyport")
	}
}

func unprintable(r rune) bool { return r < '!' || r > '~' }

// Secrets implements sink.Settings.
func (*Settings) Secrets() []secret.Ref { return nil }

// Open implements sink.Settings.
func (s *Settings) Open(_ context.Context, on sink.Host) (sink.Sink, error) {
	config, err := sink.TLS(s.CAFile, s.CertFile, s.KeyFile)
	if err != nil {
		return nil, err
	}
	address := s.Address
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host, address = address, net.JoinHostPort(address, defaultPort)
	}
	config.ServerName = host
	return &server{
		address: address, tls: config, host: header(on.Hostname, maxHostname), app: header(s.AppName, maxAppName),
		facility: facilities()[s.Facility], lenient: s.Ack == ackClose,
	}, nil
}

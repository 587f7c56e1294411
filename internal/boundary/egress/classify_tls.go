package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"sallyport/internal/fault"
)

func classifyTLS(err error, named string) *fault.Fault {
	var (
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
	)
	switch {
	case timeout(err):
		return fault.New(fault.UpstreamTimeout, "the API did not finish the TLS handshake in time").
			WithDetails("TLS handshake timeout").WithHint("check that the port of " + named + " speaks TLS")
	case asType[x509.UnknownAuthorityError](err):
		return tlsFault("the API's certificate is signed by an authority that is not trusted", "unknown authority",
			"set `ca_file` of the service to the authority's certificate; if it should be a public one, something "+
				"may be intercepting, or this machine lacks the package ca-certificates")
	case errors.As(err, &host):
		return tlsFault("the API's certificate is for another name", "certificate name mismatch",
			"check the host in "+named+" against the names in the certificate")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return tlsFault("the API's certificate has expired, or is not valid yet", "certificate expired",
			"the API's operator has to renew it; check this machine's clock as well")
	case errors.As(err, &invalid):
		return tlsFault("the API's certificate is not valid for a server", "certificate invalid",
			"ask the API's operator for a certificate that is")
	case asType[tls.RecordHeaderError](err):
		return tlsFault("the API does not speak TLS on this port", "not TLS", "check scheme and port in "+named)
	case alert(err) != "":
		return classifyAlert(alert(err))
	case asType[x509.SystemRootsError](err):
		return fault.Short("has no list of certificate authorities to check the API's certificate with",
			"no certificate authorities",
			"install the package ca-certificates, or set `ca_file` of the service")
	case strings.Contains(err.Error(), "unsupported protocol version"),
		strings.Contains(err.Error(), "invalid version"):
		return noVersion()
	case strings.Contains(err.Error(), "unconfigured cipher suite"):
		return noCipher()
	default:
		return tlsFault("the TLS handshake with the API failed", "TLS handshake failed",
			"check scheme and port in "+named+", and that the API speaks TLS 1.2 or 1.3")
	}
}

// alert is what the other side ended the connection with, or "".
func alert(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" { // crypto/tls's word for it
		return ""
	}
	return op.Err.Error()
}

func tlsFault(message, details, hint string) *fault.Fault {
	return fault.New(fault.UpstreamTLS, message).WithDetails(details).WithHint(hint)
}

// classifyAlert tells what the API means by the alert that it ended the handshake with (RFC 8446 section 6.2).
// crypto/tls keeps its type to itself; a test holds the texts.
func classifyAlert(text string) *fault.Fault {
	says := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case says("protocol version"):
		return noVersion()
	case says("handshake failure", "insufficient security"):
		return noCipher()
	case says("certificate required", "bad certificate", "unknown certificate", "unsupported certificate",
		"revoked certificate", "expired certificate", "access denied"):
		return tlsFault("the API does not accept the client certificate, or wants one and got none",
			"TLS alert: client certificate",
			"set `tls` of the service to the client certificate that the API knows, or renew it")
	case says("unrecognized name"):
		return tlsFault("the API's server does not know the name that it was asked for", "TLS alert: unrecognized name",
			"set `server_name` of the service to the name that the server has")
	default:
		return tlsFault("the API refused the TLS handshake", "TLS alert",
			"it may want a client certificate, or a TLS version other than 1.2 and 1.3")
	}
}

func noVersion() *fault.Fault {
	return tlsFault("the API and Sallyport share no version of TLS: Sallyport speaks 1.2 and 1.3",
		"no shared TLS version",
		"the API's operator has to switch TLS 1.2 or 1.3 on")
}

func noCipher() *fault.Fault {
	return tlsFault("the API refused the TLS handshake: most often because there is no cipher suite that both sides "+
		"have, sometimes because it wants a client certificate",
		"TLS alert: handshake failure",
		"set `rsa_key_exchange: true` of the service if the server has RSA key exchange alone, as old appliances "+
			"have; set `tls` of the service if it wants a client certificate; or let it take one of "+ciphers())
}

// ciphers lists what the gate offers: with forward secrecy, and no cipher that is broken.
func ciphers() string {
	var names []string
	for _, suite := range tls.CipherSuites() {
		if strings.HasPrefix(suite.Name, "TLS_RSA_") {
			continue
		}
		names = append(names, suite.Name)
	}
	return strings.Join(names, ", ")
}

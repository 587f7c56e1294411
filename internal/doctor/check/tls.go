package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // the page
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

//go:embed tls.md
var tlsPage string

func tlsEverywhere() doctor.Check {
	return doctor.Check{
		ID: "tls", Title: "Ingress, stores, gate and database speak TLS 1.2 or newer, with certificates that hold",
		Severity: doctor.High,
		Asks: "The gate's listeners, the stores, the database and each --url: a handshake with what they offer, one " +
			"that " +
			"offers TLS 1.1 at most, and the chain of certificates.",
		Guide: []string{doctor.GuideTLS}, Page: tlsPage, Look: lookAtTLS,
	}
}

const (
	soon      = 14 * 24 * time.Hour // until a certificate ends
	handshake = 8 * time.Second
)

// party is someone who is to speak TLS.
type party struct {
	name   string
	url    *url.URL
	caFile string
	called string // the name that its certificate is for, where that is not the URL's
}

func lookAtTLS(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	parties := []party{}
	for _, u := range on.URLs {
		parties = append(parties, party{name: u.Host, url: u})
	}
	if u := on.Prometheus.URL; u != nil {
		parties = append(parties, party{name: "Prometheus at " + u.Host, url: u, caFile: on.Prometheus.CAFile})
	}
	c, _, err := on.Config()
	if err != nil {
		seen = append(seen, doctor.DarkBy("sallyport.yaml", err))
	} else {
		of, found := configured(c)
		parties, seen = append(parties, of...), append(seen, found...)
	}
	for _, p := range parties {
		p.caFile = cmp.Or(p.caFile, on.CAFile)
		if p.url.Scheme != "https" {
			seen = append(seen, plain(p))
			continue
		}
		seen = append(seen, shake(ctx, p, on.Now)...)
	}
	return seen, nil
}

// configured are the parties of a configuration, and what is to be said of them without asking.
func configured(c *config.Config) (parties []party, seen []doctor.Seen) {
	for _, l := range []struct{ name, address string }{
		{"the gateway's listener", c.Listen.Gateway}, {"the admin listener", c.Listen.Admin},
	} {
		at := l.name + " at " + l.address
		switch {
		case c.TLS.Enabled():
			parties = append(parties, gateParty(at, l.address, c))
		case loopback(l.address):
			seen = append(seen, doctor.Good(at, "is for this machine alone"))
		default:
			seen = append(seen, doctor.Bad(at, "serves plain HTTP to other machines: proxy tokens go in the clear",
				"set tls in sallyport.yaml: `sallyport init --tls` makes a CA"))
		}
	}
	set := c.StoreSet()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if remote, is := set[name].Settings.(secret.Remote); is {
			for _, server := range remote.Servers() {
				if server.URL != nil {
					parties = append(parties, party{
						name: "store " + name + " at " + server.URL.Host, url: server.URL, caFile: server.CAFile,
					})
				}
			}
		}
	}
	return parties, append(seen, databaseTLS(c)...)
}

// gateParty is a listener of the gate itself, under the name that its certificate is for.
func gateParty(at, address string, c *config.Config) party {
	p := party{name: at, url: &url.URL{Scheme: "https", Host: reachable(address)}}
	switch {
	case len(c.TLS.Hosts) > 0:
		p.called, p.caFile = c.TLS.Hosts[0], filepath.Join(c.Data, "ca.pem")
	case c.TLS.CertFile != "":
		if text, err := localfile.Read(c.TLS.CertFile, localfile.Small); err == nil {
			if block, _ := pem.Decode(text); block != nil {
				if leaf, err := x509.ParseCertificate(block.Bytes); err == nil && len(leaf.DNSNames) > 0 {
					p.called = strings.Replace(leaf.DNSNames[0], "*", "sallyport", 1)
				}
			}
		}
	}
	return p
}

// databaseTLS says whether the connection to PostgreSQL is encrypted and its server proved.
func databaseTLS(c *config.Config) []doctor.Seen {
	text, err := c.DatabaseURL(func(name string) ([]byte, error) { return localfile.Read(name, localfile.Small) })
	if err != nil {
		return []doctor.Seen{doctor.DarkBy("the database", err)}
	}
	u, err := url.Parse(text)
	if text == "" || err != nil {
		return nil
	}
	at, host := "the database at "+u.Host, u.Hostname()
	mode := u.Query().Get("sslmode")
	switch {
	case host == "" || host == "localhost" || loopback(u.Host):
		return []doctor.Seen{doctor.Good(at, "is on this machine")}
	case mode == "verify-full":
		return []doctor.Seen{doctor.Good(at, "its certificate is checked (sslmode=verify-full)")}
	case mode == "verify-ca" || mode == "require":
		return []doctor.Seen{doctor.Doubtful(at, "is encrypted, and its name is not checked (sslmode="+mode+")",
			"sslmode=verify-full, with sslrootcert")}
	}
	return []doctor.Seen{doctor.Bad(at, "may be spoken to in the clear (sslmode="+cmp.Or(mode, "prefer")+")",
		"sslmode=verify-full, with sslrootcert")}
}

// plain is about a party that is reached over plain HTTP.
func plain(p party) doctor.Seen {
	if loopback(p.url.Host) {
		return doctor.Good(p.name, "is on this machine, over plain HTTP")
	}
	return doctor.Bad(p.name, "is reached over plain HTTP: what is sent can be read on the way",
		"give it a certificate, "+
			"and write https://")
}

// shake looks at what a party offers.
func shake(ctx context.Context, p party, now time.Time) []doctor.Seen {
	roots, err := localfile.CertPool(p.caFile)
	if err != nil {
		return []doctor.Seen{doctor.DarkBy(p.name, err)}
	}
	host := cmp.Or(p.called, p.url.Hostname())
	state, err := greet(ctx, p.url, &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS10,
		InsecureSkipVerify: true, //nolint:gosec // the chain is looked at below, so that it can be said what is wrong
	})
	if err != nil {
		return []doctor.Seen{unanswered(p, err)}
	}
	seen := []doctor.Seen{chain(p, state.PeerCertificates, host, roots, now)}
	old, err := greet(ctx, p.url, &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
		InsecureSkipVerify: true, //nolint:gosec // the chain was looked at
	})
	if err == nil {
		return append(seen, doctor.Bad(p.name, "accepts "+tls.VersionName(old.Version),
			"let it offer TLS 1.2 and 1.3 alone"))
	}
	if state.Version < tls.VersionTLS13 {
		return append(seen, doctor.Doubtful(p.name, "offers "+tls.VersionName(state.Version)+" at best",
			"let it offer TLS 1.3 too"))
	}
	return append(seen, doctor.Good(p.name, "offers "+tls.VersionName(state.Version)+", and refuses TLS 1.1 and older"))
}

func unanswered(p party, err error) doctor.Seen {
	if record, is := errors.AsType[tls.RecordHeaderError](err); is && string(record.RecordHeader[:4]) == "HTTP" {
		return doctor.Bad(p.name, "speaks plain HTTP where TLS is expected", "give it a certificate")
	}
	return doctor.DarkBy(p.name, fault.WithHint(fmt.Errorf("no handshake: %w", err),
		"is it up, and does it speak TLS at this address? From here it has to be reachable"))
}

// greet makes one handshake.
func greet(ctx context.Context, u *url.URL, conf *tls.Config) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "443")
	}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()                             //nolint:errcheck // nothing was sent
	return conn.(*tls.Conn).ConnectionState(), nil //nolint:forcetypeassert,errcheck // tls.Dialer says so
}

// chain says whether a chain of certificates holds, and for how long.
func chain(p party, certs []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) doctor.Seen {
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	leaf := certs[0]
	ends := leaf.NotAfter.UTC().Format("2006-01-02")
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now})
	switch {
	case now.After(leaf.NotAfter):
		return doctor.Bad(p.name, "its certificate has ended on "+ends, "renew it, and let something renew it by "+
			"itself")
	case err != nil:
		return doctor.Bad(p.name, "its certificate does not hold: "+why(err),
			"a certificate for this name, of a CA that is trusted here, with all certificates between the two")
	case leaf.NotAfter.Sub(now) < soon:
		return doctor.Doubtful(p.name, "its certificate ends on "+ends, "renew it, and let something renew it by "+
			"itself")
	}
	return doctor.Good(p.name, "its certificate holds until "+ends)
}

// why is what is wrong with a chain, in few words.
func why(err error) string {
	if _, is := errors.AsType[x509.HostnameError](err); is {
		return "it is for another name"
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return "nobody who is trusted here has signed it, or a certificate between is missing"
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

// loopback tells whether an address, HOST or HOST:PORT, is this machine's alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// reachable is an address at which something that listens on it can be reached from the same machine.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
			return net.JoinHostPort("localhost", port)
		}
	}
	return address
}

package wayout

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// way is one way out, and what is tried of it.
type way struct {
	id, title string
	close     string // the rule that closes it
	tries     []try
	none      string // why there is nothing to try
}

// probe sums up what became of a way: what is closed for IPv4 says nothing about IPv6.
func (w way) probe(attempts []Attempt) Probe {
	p := Probe{ID: w.id, Title: w.title, Status: Closed, Attempts: attempts}
	if len(attempts) == 0 {
		p.Attempts = []Attempt{{To: "-", Status: Closed, Saw: w.none}}
		return p
	}
	families := make(map[string]Status)
	for i, a := range attempts {
		f := w.tries[i].family
		before, seen := families[f]
		switch {
		case !seen, a.Status == Open, before == Unclear && a.Status == Closed:
			families[f] = a.Status
		}
	}
	for _, s := range families {
		p.Status = worse(p.Status, s)
	}
	if p.Status != Closed {
		p.Close = w.close
	}
	return p
}

// scene is what a check works with.
type scene struct {
	Options
	resolvers []netip.Addr
	blind     error // why the resolvers are not known
}

func newScene(ctx context.Context, o Options) *scene {
	s := &scene{Options: o}
	s.resolvers, s.blind = resolvers(ctx, o.ResolvConf)
	return s
}

// Public addresses that respond to everybody: DNS resolvers, which serve HTTPS, QUIC, DNS over TLS and HTTPS too, a
// public time server, and the SSH port of a forge. docs/egress.md lists what goes to whom.
const (
	public4  = "1.1.1.1"              // one.one.one.one
	public6  = "2606:4700:4700::1111" // one.one.one.one
	other4   = "8.8.8.8"              // dns.google
	time4    = "162.159.200.1"        // time.cloudflare.com
	forge4   = "140.82.112.3"         // github.com
	nat64    = "64:ff9b::101:101"     // 1.1.1.1 behind NAT64 (RFC 6052)
	pageName = "example.com"
)

func at(a netip.Addr, port int) string { return net.JoinHostPort(a.String(), strconv.Itoa(port)) }

func literal(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// maker builds an attempt at an address.
type maker func(to string) func(context.Context) (string, error)

// each makes an attempt at a port of each target, or of the public addresses: those that are known to respond there,
// and others, of which only a refusal by the wall counts.
func (s *scene) each(port int, make maker, known, others []string) (tries []try) {
	if len(s.Targets) > 0 {
		for _, t := range s.Targets {
			tries = append(tries, try{to: at(t, port), family: family(t), do: make(at(t, port))})
		}
		return tries
	}
	for i, host := range append(append([]string{}, known...), others...) {
		f := family(netip.MustParseAddr(host))
		to := literal(host, port)
		tries = append(tries, try{to: to, family: f, known: i < len(known), do: make(to)})
	}
	return tries
}

func tcp(to string) func(context.Context) (string, error) { return connect("tcp", to) }

// named is an attempt at a name that this node's own resolver resolves; without --target alone, since those are
// addresses.
func (s *scene) named(name string, port int, make maker) []try {
	if len(s.Targets) > 0 {
		return nil
	}
	to := literal(name, port)
	return []try{{to: to, family: "4", known: true, do: s.byName(name, port, make)}}
}

func (s *scene) byName(name string, port int, make maker) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		list, err := s.addresses(ctx, name)
		if err != nil {
			return "", err
		}
		return make(at(list[0], port))(ctx)
	}
}

// ways lists everything that is tried, in the order of the report.
func (s *scene) ways() []way {
	both, none := []string{public4, public6}, []string{}
	q, err := question(pageName, dnsmessage.TypeA)
	if err != nil {
		q = nil // the name is ours, and well-formed
	}
	doh := func(to string) func(context.Context) (string, error) { return overTLS(to, "one.one.one.one", q) }
	list := []way{
		s.port("https", "HTTPS straight to an address, as a Code node's http module or fetch does it",
			443, append(both, other4)).with(s.named(pageName, 443, tcp)...),
		{
			id: "http", title: "HTTP without the proxy, as Node's http module sends it", close: ruleTCP(80),
			tries: s.each(80, func(to string) func(context.Context) (string, error) {
				return plainHTTP(to, "Connection: close\r\n")
			}, both, none),
		},
		{
			id: "websocket", title: "a WebSocket", close: ruleTCP(80),
			tries: s.each(80, func(to string) func(context.Context) (string, error) {
				return plainHTTP(to, webSocket)
			}, both, none),
		},
		{id: "quic", title: "QUIC (HTTP/3), UDP 443", close: ruleUDP(443), tries: s.each(443, quic, both, none)},
		{
			id: "dns-own", title: "DNS to a resolver of its own, UDP and TCP 53", close: ruleDNS,
			tries: s.ownResolvers(both),
		},
		s.port("dot", "DNS over TLS, TCP 853", 853, both),
		{
			id: "doh", title: "DNS over HTTPS", close: ruleTCP(443) + "; DNS over HTTPS looks like any HTTPS",
			tries: s.each(443, doh, both, none),
		},
		s.tunnels(),
		s.port("ssh", "SSH, TCP 22", 22, []string{forge4}, public6).with(s.named("github.com", 22, tcp)...),
		s.port("git", "git, TCP 9418", 9418, none, both...),
		s.port("smtp", "SMTP, TCP 25", 25, none, both...).with(s.named("gmail-smtp-in.l.google.com", 25, tcp)...),
		s.port("smtps", "SMTP over TLS, TCP 465", 465, none, both...).with(s.named("smtp.gmail.com", 465, tcp)...),
		s.port("submission", "mail submission, TCP 587", 587, none, both...).
			with(s.named("smtp.gmail.com", 587, tcp)...),
		s.port("imaps", "IMAP over TLS, TCP 993", 993, none, both...).with(s.named("imap.gmail.com", 993, tcp)...),
		s.port("ftp", "FTP, TCP 21", 21, none, both...),
		s.port("other", "a TCP port that no rule thinks of, 4444", 4444, none, both...),
		{
			id: "ntp", title: "NTP, UDP 123", close: ruleUDP(123),
			tries: s.each(123, clock, []string{time4}, []string{public6}),
		},
		{id: "icmp", title: "ICMP echo", close: ruleICMP, tries: s.pings()},
	}
	return append(list, s.around()...)
}

// port is a way that is a TCP port.
func (s *scene) port(id, title string, port int, known []string, others ...string) way {
	return way{id: id, title: title, close: ruleTCP(port), tries: s.each(port, tcp, known, others)}
}

func (w way) with(more ...try) way {
	w.tries = append(w.tries, more...)
	return w
}

func (s *scene) ownResolvers(both []string) []try {
	ask := func(network string) []try {
		tries := s.each(53, func(to string) func(context.Context) (string, error) {
			return resolver(network, to, pageName)
		}, both, nil)
		for i := range tries {
			tries[i].to += "/" + network
			tries[i].family += network // what is closed for UDP says nothing about TCP
		}
		return tries
	}
	return append(ask("udp"), ask("tcp")...)
}

// tunnels asks each configured resolver, over UDP and TCP. One that gives no response is no way out.
func (s *scene) tunnels() way {
	w := way{
		id: "dns-tunnel", title: "DNS tunnelling through the configured resolver",
		close: ruleTunnel, none: "no resolver is configured",
	}
	if s.blind != nil {
		w.tries = []try{{to: s.ResolvConf, do: func(context.Context) (string, error) {
			return "", noted{errDoubt, s.blind.Error()}
		}}}
	}
	for _, r := range s.resolvers {
		for _, network := range []string{"udp", "tcp"} {
			to := at(r, 53)
			w.tries = append(w.tries, try{
				to: to + "/" + network, family: to + network, absent: true,
				do: tunnel(network, to, s.Zone),
			})
		}
	}
	return w
}

func (s *scene) pings() (tries []try) {
	hosts := []string{public4, public6}
	if len(s.Targets) > 0 {
		hosts = nil
		for _, t := range s.Targets {
			hosts = append(hosts, t.String())
		}
	}
	for _, h := range hosts {
		f := family(netip.MustParseAddr(h))
		tries = append(tries, try{to: h, family: f, known: len(s.Targets) == 0, do: ping(h, f == "6")})
	}
	return tries
}

// The rules that close the ways. The files under deploy/egress have all of them, since they refuse what they do not
// name.
const (
	ruleDNS    = "refuse UDP and TCP 53 to everything but your own resolver"
	ruleICMP   = "refuse ICMP and ICMPv6 echo from the nodes"
	ruleTunnel = "give the nodes a resolver that resolves inside names alone " +
		"(deploy/egress/kubernetes-resolver.yaml, an internal Compose network), or none"
)

func ruleTCP(port int) string {
	return fmt.Sprintf("refuse TCP %d, IPv4 and IPv6, from the nodes", port)
}

func ruleUDP(port int) string {
	return fmt.Sprintf("refuse UDP %d, IPv4 and IPv6, from the nodes", port)
}

// hostOf is a host without brackets and trailing dot, in lower case.
func hostOf(text string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(text, "[]"), "."))
}

package wayout

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
)

// metadata are the services by which clouds hand out credentials to whoever asks: by each, a workflow gets the
// machine's own account.
var metadata = [...]struct{ to, what string }{
	{"169.254.169.254:80", "AWS, Google, Azure, OpenStack, DigitalOcean, Hetzner"},
	{"169.254.170.2:80", "AWS ECS tasks"},
	{"169.254.170.23:80", "AWS EKS pod identity"},
	{"[fd00:ec2::254]:80", "AWS over IPv6"},
	{"[fd20:ce::254]:80", "Google over IPv6"},
	{"168.63.129.16:80", "Azure's host"},
	{"100.100.100.200:80", "Alibaba Cloud"},
	{"192.0.0.192:80", "Oracle Cloud, the old one"},
}

// around lists the ways that lead round the wall: the cloud's metadata, what the proxy variables leave out, the proxies
// themselves, and what stands beside the node.
func (s *scene) around() []way {
	meta := way{
		id: "metadata", title: "the cloud's metadata service",
		close: "refuse 169.254.0.0/16, fd00:ec2::254, 168.63.129.16 and 100.100.100.200 from the nodes; beside that, " +
			"IMDSv2 with a hop limit of 1",
	}
	for _, m := range metadata {
		meta.tries = append(meta.tries, try{to: m.to, family: m.to, absent: true, do: tcp(m.to)})
	}
	const name = "metadata.google.internal"
	meta.tries = append(meta.tries, try{
		to: name + ":80", family: name, absent: true, do: unlessMissing(s.byName(name, 80, tcp)),
	})
	return []way{meta, s.translated(), s.noProxy(), s.proxies(), s.docker(), s.kubernetes()}
}

// unlessMissing takes a name that does not resolve for a way that is not there.
func unlessMissing(do func(context.Context) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		saw, err := do(ctx)
		if errors.Is(err, errNoName) {
			return "", noted{errBlocked, err.Error()}
		}
		return saw, err
	}
}

// translated is an IPv4 address written as one of IPv6, which a NAT64 turns back: a rule for IPv4 does not see it.
func (s *scene) translated() way {
	w := way{
		id: "nat64", title: "IPv4 through NAT64 (64:ff9b::/96)",
		close: ruleTCP(443), none: "there is no IPv4 target",
	}
	to := []string{nat64}
	if len(s.Targets) > 0 {
		to = nil
		for _, t := range s.Targets {
			if a := t.Unmap(); a.Is4() {
				b := netip.MustParseAddr("64:ff9b::").As16()
				copy(b[12:], a.AsSlice())
				to = append(to, netip.AddrFrom16(b).String())
			}
		}
	}
	for _, host := range to {
		w.tries = append(w.tries, try{to: literal(host, 443), family: "6", absent: true, do: tcp(literal(host, 443))})
	}
	return w
}

// variable reads a proxy variable as n8n does: lower case first.
func (s *scene) variable(name string) string {
	for _, n := range []string{strings.ToLower(name), strings.ToUpper(name)} {
		if v, ok := s.Lookup(n); ok && v != "" {
			return v
		}
	}
	return ""
}

// maxBypassed is how many entries of NO_PROXY are tried.
const maxBypassed = 32

// noProxy tries what NO_PROXY leaves out of the proxy, where it is no address or name of the inside.
func (s *scene) noProxy() way {
	w := way{
		id: "no-proxy", title: "a host that NO_PROXY sends round the proxy", none: "NO_PROXY names no host outside",
		close: "take the host off NO_PROXY, and refuse it at the wall",
	}
	for _, host := range s.bypassed() {
		for _, port := range []int{443, 80} {
			to := literal(host, port)
			w.tries = append(w.tries, try{
				to: to, family: to, absent: true, do: unlessMissing(s.byName(host, port, tcp)),
			})
		}
	}
	return w
}

// bypassed are the entries of NO_PROXY that are hosts outside, without their wildcards.
func (s *scene) bypassed() (hosts []string) {
	for _, entry := range noProxyEntries(s.variable("NO_PROXY")) {
		host := hostOf(strings.TrimLeft(entry, "*."))
		if host != "" && outside(entry) && len(hosts) < maxBypassed {
			if prefix, err := netip.ParsePrefix(host); err == nil {
				host = prefix.Addr().String()
			}
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func noProxyEntries(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// insideNames are endings of names that no public DNS has.
var insideNames = [...]string{
	"localhost", "local", "internal", "svc", "lan", "home.arpa", "corp", "intranet", "private",
}

// outside tells whether an entry of NO_PROXY is about hosts of the public network: an address that is not private, or a
// name with a dot and a public ending.
func outside(entry string) bool {
	host := hostOf(strings.TrimLeft(entry, "*."))
	if prefix, err := netip.ParsePrefix(host); err == nil {
		return publicAddress(prefix.Addr())
	}
	if h, _, ok := strings.Cut(host, ":"); ok && !strings.Contains(h+"]", "::") && strings.Count(host, ":") == 1 {
		host = h
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return publicAddress(a)
	}
	if !strings.Contains(host, ".") {
		return false
	}
	return !slices.ContainsFunc(insideNames[:], func(end string) bool { return strings.HasSuffix("."+host, "."+end) })
}

func publicAddress(a netip.Addr) bool {
	a = a.Unmap()
	shared := netip.MustParsePrefix("100.64.0.0/10") // pod networks of some clouds
	return !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsUnspecified() && !shared.Contains(a)
}

// proxies asks each proxy of the environment for a tunnel out, without credentials: one that makes it is a way past the
// gate for everybody.
func (s *scene) proxies() way {
	w := way{
		id: "proxy", title: "a tunnel through a configured proxy, without credentials", none: "no proxy is configured",
		close: "point HTTPS_PROXY at the gate, and have the proxy refuse callers without credentials; a proxy " +
			"that is not the gate has to be out of reach of the nodes",
	}
	to := literal(public4, 443)
	if len(s.Targets) > 0 {
		to = at(s.Targets[0], 443)
	}
	var seen []string
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"} {
		u, err := url.Parse(s.variable(name))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || slices.Contains(seen, u.Host) {
			continue
		}
		seen = append(seen, u.Host)
		w.tries = append(w.tries, try{to: u.Host + " to " + to, family: u.Host, do: through(u, to)})
	}
	return w
}

// docker tries the engine's socket: whoever has it starts a container outside of the wall.
func (s *scene) docker() way {
	w := way{
		id: "docker", title: "the Docker engine's socket", none: "there is no socket",
		close: "do not mount the socket into a node",
	}
	path := s.DockerSocket
	if _, err := os.Stat(path); err == nil {
		w.tries = []try{{to: path, do: socket(path)}}
	}
	return w
}

// kubernetes tries the API server, where the environment of a pod names it.
func (s *scene) kubernetes() way {
	w := way{
		id: "kubernetes", title: "the Kubernetes API server", none: "the environment names no API server",
		close: "automountServiceAccountToken: false, and no rule for the API server in the nodes' NetworkPolicy " +
			"(deploy/egress/kubernetes.yaml)",
	}
	host, _ := s.Lookup("KUBERNETES_SERVICE_HOST")
	port, _ := s.Lookup("KUBERNETES_SERVICE_PORT")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return w
	}
	if port == "" {
		port = "443"
	}
	to := net.JoinHostPort(a.String(), port)
	w.tries = []try{{to: to, absent: true, do: tcp(to)}}
	return w
}

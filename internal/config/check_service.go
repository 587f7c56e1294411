package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/config/notation"
)

func (k *checker) service(name string) {
	s, key := k.cfg.Services[name], "services."+name
	k.indexKeys(key)
	k.upstream(s, key)
	if s.Upstream != nil {
		k.loops(s, key)
	}
	k.credentials(s, key)
	k.transport(s, key)
	k.caFile(key+".ca_file", s.CAFile)
	if s.ServerName != "" && !notation.IsHost(s.ServerName) {
		k.fail(key+".server_name", "is not a host name", "write the name alone, such as api.internal")
	}
	if s.Limits.Burst > 0 && s.Limits.Rate.IsZero() {
		k.fail(key+".limits.burst", "has no rate beside it", "add rate, such as rate: 50/s")
	}
	k.allow(s, key)
	k.private(s.AllowPrivate, key+".allow_private")
	k.private(s.FetchPrivate, key+".fetch_private")
	if len(s.FetchPrivate) > 0 && s.Redirects != "fetch" {
		k.warn(key+".fetch_private", "has no effect: redirects are not fetched", "set redirects: fetch, or take it out")
	}
	k.fixedHeaders(s, key)
	k.overriding(s, key)
	k.test(s, key+".test")
	k.probe(s, key+".probe")
}

// transport checks the client certificate, the proxy, and what is kept of bodies.
func (k *checker) transport(s *Service, key string) {
	if s.TLS != nil {
		if s.TLS.Cert.IsZero() || s.TLS.Key.IsZero() {
			k.missing(key+".tls", "needs cert and key", "write tls: {cert: ref+…, key: ref+…}, both PEM")
		}
		k.ref(key+".tls.cert", s.TLS.Cert.Store)
		k.ref(key+".tls.key", s.TLS.Key.Store)
		if s.Upstream != nil && s.Upstream.Scheme == "http" {
			k.warn(key+".tls", "has no effect: the upstream is plain HTTP", "")
		}
	}
	if s.Proxy == nil && !s.ProxySecret.IsZero() {
		k.fail(key+".proxy_secret", "has no proxy beside it", "write proxy: http://HOST:PORT")
	}
	k.ref(key+".proxy_secret", s.ProxySecret.Store)
	if s.Replay.Total < s.Replay.Memory {
		k.fail(key+".replay.total", "is less than memory ("+s.Replay.Memory.String()+"), which is a part of it",
			"make it larger, or memory smaller")
	}
}

func (k *checker) upstream(s *Service, key string) {
	if s.Upstream == nil {
		p := k.cfg.preset(s)
		switch {
		case s.Preset == "":
			k.missing(key, "has neither preset nor upstream",
				"write upstream: https://…, or preset: NAME (docs/presets.md)")
		case p.Name != "":
			k.missing(key, "needs an upstream, because each customer of "+p.Title+" has one of their own",
				"write upstream: "+p.UpstreamEg)
		}
		return
	}
	host := s.Upstream.Hostname()
	if s.Upstream.Scheme == "http" && !isInternal(host) {
		k.warn(key+".upstream", "is plain HTTP to a public host: the credential can be read on the way",
			"use https if the API offers it")
	}
	if s.Upstream.Scheme == "http" && (s.CAFile != "" || s.ServerName != "") {
		k.warn(key+".upstream", "is plain HTTP, so ca_file and server_name have no effect", "")
	}
	if addr, err := netip.ParseAddr(host); err == nil && !isPublic(addr) && !covers(s.AllowPrivate, addr) {
		k.warn(key+".upstream",
			"is an address that is not public, and allow_private does not name it: every call will be refused",
			fmt.Sprintf("add allow_private: [%s]", netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())))
	}
}

// loops warns of an upstream that is plainly one of the gate's own listeners, which is refused when it is dialled.
func (k *checker) loops(s *Service, key string) {
	port := s.Upstream.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[s.Upstream.Scheme]
	}
	for name, address := range map[string]string{"gateway": k.cfg.Listen.Gateway, "admin": k.cfg.Listen.Admin} {
		host, own, err := net.SplitHostPort(address)
		if err == nil && own == port && sameHost(s.Upstream.Hostname(), host) {
			k.warn(key+".upstream", "is the "+name+" listener of this Sallyport: every call will be refused",
				"name the API itself")
		}
	}
}

// fixedHeaders keeps credentials and nonsense out of headers.
func (k *checker) fixedHeaders(s *Service, owner string) {
	p := k.cfg.preset(s)
	for _, name := range slices.Sorted(maps.Keys(p.HeadersNeeds)) {
		if !namesHeader(s.Headers, name) {
			k.missing(owner, "needs the header "+name+": "+p.HeadersNeeds[name], "write headers: {"+name+": …}")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		key := owner + ".headers." + name
		if problem := headerProblem(name); problem != "" {
			k.fail(key, problem, "")
			continue
		}
		if carriesCredential(name) && !namesHeader(p.HeadersNeeds, name) || goesInto(s, name) {
			k.fail(key, "is where a credential goes", "use credential, with the secret by reference")
		}
	}
}

// overriding wants every name in override_headers to be one of headers.
func (k *checker) overriding(s *Service, owner string) {
	for i, name := range s.Override {
		key := fmt.Sprintf("%s.override_headers.%d", owner, i)
		if !namesHeader(s.Headers, name) {
			k.fail(key, "is none of headers, so there is nothing to set",
				"write headers: {"+name+": …} beside it, or leave it out")
		}
	}
}

// allow warns of rules that stand twice, or that nothing can match.
func (k *checker) allow(s *Service, owner string) {
	key := owner + ".allow"
	seen := map[string]bool{}
	for i, rule := range s.Allow {
		k.methodsOf(fmt.Sprintf("%s.%d", key, i), rule.Methods...)
		if text := rule.String(); seen[text] {
			k.warn(fmt.Sprintf("%s.%d", key, i), "stands there already", "")
		} else {
			seen[text] = true
		}
	}
}

func (k *checker) private(list []netip.Prefix, key string) {
	for i, p := range list {
		at := fmt.Sprintf("%s.%d", key, i)
		switch {
		case p.Bits() == 0:
			k.fail(at, "is every address there is", "name the networks that the service needs")
		case p.Addr().Is4() && p.Bits() < 8, p.Addr().Is6() && p.Bits() < 32:
			k.warn(at, "is a very wide network", "name the hosts that the service needs")
		case p.Overlaps(netip.MustParsePrefix("169.254.169.254/32")),
			p.Overlaps(netip.MustParsePrefix("fd00:ec2::254/128")):
			k.warn(at, "holds the address of the cloud's metadata service, which gives out credentials",
				"name the hosts that the service needs")
		}
	}
}

func (k *checker) test(s *Service, key string) {
	if s.Test == nil {
		return
	}
	if !notation.IsMethod(s.Test.Method) {
		k.fail(key+".method", "is not a method", "write it in capitals, such as GET")
	}
	k.methodsOf(key+".method", s.Test.Method)
	k.expires(s.Test.Expires, key+".expires")
	if s.Test.Path == "" {
		k.missing(key, "has no path", "write a path below the upstream's, such as path: /v1/models")
		return
	}
	if !strings.HasPrefix(s.Test.Path, "/") || !notation.IsPrintable(s.Test.Path) ||
		strings.Contains(s.Test.Path, "#") {
		k.fail(key+".path", "is not a path", "write it as /models or /models?limit=1")
	}
}

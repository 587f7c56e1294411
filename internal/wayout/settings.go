package wayout

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/localfile"
)

// manifest is where n8n's own image has n8n, with its version.
const manifest = "/usr/local/lib/node_modules/n8n/package.json"

// honours is the first version of n8n of which workers, webhook processes and commands go through the proxy as the main
// process does.
const honours = "2.36.9"

// settings looks at n8n's own settings, where this is the environment of a node: it has variables of n8n, or of a
// proxy. What was read in n8n 2.41.1.
func (s *scene) settings() []Setting {
	list := []Setting{}
	proxy := s.variable("HTTPS_PROXY")
	if proxy == "" {
		proxy = s.variable("ALL_PROXY")
	}
	plain := s.variable("HTTP_PROXY")
	if !s.isNode() && proxy == "" && plain == "" {
		return list
	}
	list = append(list, s.proxyMode(proxy != "" || plain != ""), s.schemes(proxy, plain))
	if proxy != "" || plain != "" {
		list = append(list, s.version(), s.bypass())
		list = append(list, s.guards(proxy, plain)...)
		list = append(list, s.debugLog(proxy, plain)...)
	}
	return list
}

// isNode tells whether the environment is that of an n8n.
func (s *scene) isNode() bool {
	for _, name := range []string{
		"N8N_VERSION", "N8N_ENCRYPTION_KEY", "N8N_ENCRYPTION_KEY_FILE", "N8N_OUTBOUND_PROXY_MODE", "EXECUTIONS_MODE",
		"N8N_RUNNERS_TASK_BROKER_URI", "N8N_HOST",
	} {
		if _, ok := s.Lookup(name); ok {
			return true
		}
	}
	return false
}

func (s *scene) proxyMode(proxied bool) Setting {
	set := Setting{ID: "N8N_OUTBOUND_PROXY_MODE", OK: true}
	switch mode, _ := s.Lookup(set.ID); {
	case !proxied:
		set.Saw = "no proxy variable is set: nothing goes through a proxy, and gateway mode has to be enough"
	case mode == "" || mode == "all":
		set.Saw = "all processes use the proxy"
	case mode == "main-only":
		set.OK, set.Saw = false, "main-only: workers and webhook processes do not use the proxy"
		set.Do = "take N8N_OUTBOUND_PROXY_MODE away, or set it to all"
	default:
		set.OK, set.Saw, set.Do = false, "a word that n8n does not know", "all"
	}
	return set
}

func (s *scene) schemes(https, plain string) Setting {
	set := Setting{ID: "HTTPS_PROXY", OK: true, Saw: "set, as HTTP_PROXY is"}
	switch {
	case https == "" && plain == "":
		set.Saw = "not set, as HTTP_PROXY is not"
	case https == "":
		set.OK, set.Saw, set.Do = false, "not set, while HTTP_PROXY is: HTTPS does not use the proxy", "set both"
	case plain == "":
		set.OK, set.Saw, set.Do = false, "set, while HTTP_PROXY is not: plain HTTP does not use the proxy", "set both"
	}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		upper, _ := s.Lookup(name)
		lower, both := s.Lookup(strings.ToLower(name))
		if both && upper != "" && upper != lower {
			set.OK, set.Saw = false, strings.ToLower(name)+" differs from "+name+", and is the one that n8n uses"
			set.Do = "keep one of the two"
		}
	}
	return set
}

func (s *scene) version() Setting {
	set := Setting{ID: "version", OK: true}
	version := s.Version
	if version == "" {
		version, _ = s.Lookup("N8N_VERSION")
	}
	if version == "" {
		version = installed()
	}
	switch older, ok := before(version, honours); {
	case version == "":
		set.OK, set.Saw = false, "n8n's version is not known here"
		set.Do = "--n8n-version X.Y.Z; from " + honours + " on, workers and webhook processes use the proxy"
	case !ok:
		set.OK, set.Saw, set.Do = false, "n8n's version is not X.Y.Z", "--n8n-version X.Y.Z"
	case older:
		set.OK = false
		set.Saw = version + ": workers, webhook processes and commands do not use the proxy before " + honours
		set.Do = "upgrade n8n"
	default:
		set.Saw = version + ": all processes use the proxy"
	}
	return set
}

// installed is the version of the n8n of this container.
func installed() string {
	text, err := localfile.Read(manifest, localfile.Small)
	var m struct {
		Version string `json:"version"`
	}
	if err != nil || json.Unmarshal(text, &m) != nil {
		return ""
	}
	return m.Version
}

// before tells whether a version is older than another; what follows a dash counts for nothing.
func before(version, other string) (older, ok bool) {
	a, okA := numbers(version)
	b, okB := numbers(other)
	return slices.Compare(a, b) < 0, okA && okB
}

func numbers(version string) (n []int, ok bool) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	for part := range strings.SplitSeq(version, ".") {
		i, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		n = append(n, i)
	}
	return n, len(n) == 3
}

func (s *scene) bypass() Setting {
	set := Setting{ID: "NO_PROXY", OK: true, Saw: "names hosts of the inside alone"}
	entries := noProxyEntries(s.variable("NO_PROXY"))
	hosts := s.bypassed()
	switch {
	case slices.Contains(entries, "*"):
		set.OK, set.Saw, set.Do = false, "*: nothing uses the proxy", "name the hosts of the inside, and nothing else"
	case len(hosts) > 0:
		set.OK, set.Saw = false, "sends hosts outside round the proxy: "+strings.Join(hosts, ", ")
		set.Do = "take them off"
	case len(entries) == 0:
		set.OK, set.Saw = false, "not set: n8n sends calls to localhost and to the gate itself to the proxy"
		set.Do = "name localhost, 127.0.0.1, the gate, and hosts of the inside that n8n calls over HTTP"
	}
	return set
}

// guards looks at the guard of n8n against calls to the inside, which looks at the proxy's own address too.
func (s *scene) guards(proxies ...string) []Setting {
	if on, _ := s.Lookup("N8N_SSRF_PROTECTION_ENABLED"); on != "true" {
		return nil
	}
	set := Setting{ID: "N8N_SSRF_PROTECTION_ENABLED", OK: true, Saw: "on, and it allows the proxy's address"}
	ranges, _ := s.Lookup("N8N_SSRF_ALLOWED_IP_RANGES")
	names, _ := s.Lookup("N8N_SSRF_ALLOWED_HOSTNAMES")
	for _, text := range proxies {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" {
			continue
		}
		host := hostOf(u.Hostname())
		a, err := netip.ParseAddr(host)
		switch {
		case slices.ContainsFunc(noProxyEntries(names), func(n string) bool { return allowsName(n, host) }):
		case err == nil && (publicAddress(a) || slices.ContainsFunc(noProxyEntries(ranges), func(r string) bool {
			return allowsAddress(r, a)
		})):
		case err != nil && ranges != "": // whether the range has what the name resolves to, the gate's operator knows
			set.Saw = "on, with allowed ranges; that they have the address of " + host + " was not looked at"
		default:
			set.OK = false
			set.Saw = "on, and neither of its lists has the proxy " + host + ": n8n refuses to call it"
			set.Do = "add it to N8N_SSRF_ALLOWED_HOSTNAMES or its address to N8N_SSRF_ALLOWED_IP_RANGES"
		}
	}
	return []Setting{set}
}

func allowsName(pattern, host string) bool {
	pattern = strings.ToLower(pattern)
	if end, ok := strings.CutPrefix(pattern, "*."); ok {
		return strings.HasSuffix(host, "."+end)
	}
	return pattern == host
}

func allowsAddress(text string, a netip.Addr) bool {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Contains(a.Unmap())
	}
	b, err := netip.ParseAddr(text)
	return err == nil && b == a
}

// debugLog: n8n prints the proxy variables as they are when it starts with this level.
func (s *scene) debugLog(proxies ...string) []Setting {
	level, _ := s.Lookup("N8N_LOG_LEVEL")
	for _, text := range proxies {
		if u, err := url.Parse(text); err == nil && u.User != nil && level == "debug" {
			return []Setting{{
				ID: "N8N_LOG_LEVEL", Saw: "debug: n8n prints the proxy's password into its log when it starts",
				Do: "info",
			}}
		}
	}
	return nil
}

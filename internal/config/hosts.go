package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sameAddress tells whether two listeners would collide. Port 0 is a free one each time.
func sameAddress(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && portA != "0" && (hostA == hostB || isWildcard(hostA) || isWildcard(hostB))
}

func isWildcard(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || (err == nil && addr.IsUnspecified())
}

// sameHost tells whether host plainly is the machine that listens on bound.
func sameHost(host, bound string) bool {
	local := func(s string) bool {
		addr, err := netip.ParseAddr(s)
		return s == "" || strings.EqualFold(s, "localhost") || err == nil &&
			(addr.Unmap().IsLoopback() || addr.Unmap().IsUnspecified())
	}
	return strings.EqualFold(host, bound) || local(host) && local(bound)
}

// isInternal tells hosts that are plainly not on the internet: addresses that are not public, names without a dot, and
// the top-level domains that are never delegated.
func isInternal(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return !isPublic(addr)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc([]string{".internal", ".local", ".localhost", ".lan", ".home.arpa", ".test"},
		func(tld string) bool {
			return strings.HasSuffix(host, tld)
		})
}

// isPublic is a rough answer for warnings only; the dialer has the exact one.
func isPublic(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsGlobalUnicast() && !addr.IsPrivate() && !netip.MustParsePrefix("100.64.0.0/10").Contains(addr)
}

func covers(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

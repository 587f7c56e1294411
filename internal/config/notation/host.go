package notation

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

var errPrefix = errors.New("want a network such as 10.1.2.0/24, or one address")

// ParsePrefix reads a network without host bits, or one address as a network of its own.
func ParsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errPrefix
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("write IPv4 networks as IPv4, such as 10.0.0.0/8")
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("the address has bits set beyond the prefix: did you mean %s or %s/%d?",
			p.Masked(), p.Addr(), p.Addr().BitLen())
	}
	return p, nil
}

// IsHost takes an IP address without zone, or a DNS name. Underscores pass: container names have them.
func IsHost(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == ""
	}
	if s == "" || len(s) > 253 || strings.ContainsAny(s, ":%") {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool { return !IsAlnum(r) && r != '-' && r != '_' }) {
			return false
		}
	}
	return true
}

// IsPort tells a port of at least least.
func IsPort(s string, least uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= least
}

// IsAlnum tells the letters and digits of ASCII.
func IsAlnum(r rune) bool {
	return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
}

// IsPrintable tells a text without blanks and control characters.
func IsPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' })
}

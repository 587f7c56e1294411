package egress

import (
	"fmt"
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// Class says why an address is not one that an API on the internet can have.
type Class string

// The classes.
const (
	Invalid       Class = "not an address"
	Unspecified   Class = "unspecified (RFC 1122)"
	Loopback      Class = "loopback"
	Private       Class = "private (RFC 1918)"
	UniqueLocal   Class = "private (unique local, RFC 4193)"
	SharedNAT     Class = "carrier-grade NAT (RFC 6598)"
	LinkLocal     Class = "link-local"
	SiteLocal     Class = "site-local (RFC 3879)"
	Metadata      Class = "a cloud's metadata service"
	Benchmarking  Class = "reserved for benchmarking"
	Documentation Class = "reserved for documentation"
	Multicast     Class = "multicast"
	Broadcast     Class = "broadcast"
	Reserved      Class = "reserved"
	Discard       Class = "discard-only (RFC 6666)"
	Compatible    Class = "IPv4-compatible (RFC 4291)"
	NAT64         Class = "NAT64 of an IPv4 address that is not public"
	NAT64Local    Class = "local-use NAT64 (RFC 8215)"
	SixToFour     Class = "6to4 (RFC 7526)"
	Teredo        Class = "Teredo (RFC 4380)"
	Special       Class = "in IANA's special-purpose registry"
	NotGlobal     Class = "outside of IPv6 global unicast"
)

// ProhibitedError is the refusal to dial an address.
type ProhibitedError struct {
	Addr  netip.Addr
	Class Class
}

// Error names the address and the reason.
func (e *ProhibitedError) Error() string {
	return fmt.Sprintf("dialling %s: the address is %s", e.Addr, e.Class)
}

// Check decides whether an API may be dialled at addr: it may if addr is globally
// reachable or inside one of the prefixes in allow. The error is a
// *[ProhibitedError]. Zones are ignored, and an IPv4-mapped address is the IPv4
// address that it maps to, in allow as well. The metadata services of the clouds
// are refused even inside an allowed prefix, unless named alone (/32 or /128).
//
// Which addresses are special is IANA's word (RFC 6890), by way of the ssrf
// package; this one adds the reasons, the metadata services, and NAT64, which is as
// public as the IPv4 address inside.
func Check(addr netip.Addr, allow []netip.Prefix) error {
	addr = addr.WithZone("").Unmap()
	class, prohibited := classify(addr)
	if !prohibited {
		return nil
	}
	for _, p := range allow {
		p = unmapPrefix(p)
		if p.Contains(addr) && (class != Metadata || p.IsSingleIP()) {
			return nil
		}
	}
	return &ProhibitedError{Addr: addr, Class: class}
}

// unmapPrefix turns ::ffff:10.0.0.0/104 into 10.0.0.0/8.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func classify(addr netip.Addr) (class Class, prohibited bool) {
	switch {
	case !addr.IsValid():
		return Invalid, true
	case slices.Contains(metadata(), addr):
		return Metadata, true
	case addr.Is4():
		return classOf(addr, special4())
	default:
		return classify6(addr)
	}
}

func classify6(addr netip.Addr) (class Class, prohibited bool) {
	inner, tunnelled := embedded(addr)
	if tunnelled {
		if class, prohibited := classify(inner); class == Metadata {
			return Metadata, prohibited
		}
	}
	if !ssrf.IPv6NAT64Prefix.Contains(addr) {
		return classOf(addr, special6())
	}
	if _, prohibited := classify(inner); prohibited {
		return NAT64, true
	}
	return "", false
}

// embedded returns the IPv4 address to which a packet for the IPv6 address addr
// would go through NAT64 (RFC 6052), 6to4 (RFC 3056) or Teredo (RFC 4380).
func embedded(addr netip.Addr) (inner netip.Addr, ok bool) {
	b := addr.As16()
	switch {
	case ssrf.IPv6NAT64Prefix.Contains(addr), prefix("64:ff9b:1::/48").Contains(addr), prefix("::/96").Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:])), true
	case prefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case prefix("2001::/32").Contains(addr):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	default:
		return netip.Addr{}, false
	}
}

// named is a block of addresses with its reason.
type named struct {
	prefix netip.Prefix
	class  Class
}

// classOf returns the class that the table gives addr, and for what the table
// doesn't know, what the registries say.
func classOf(addr netip.Addr, table []named) (class Class, prohibited bool) {
	for _, n := range table {
		if n.prefix.Contains(addr) {
			return n.class, true
		}
	}
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	switch {
	case addr.Is6() && !ssrf.IPv6GlobalUnicast.Contains(addr):
		return NotGlobal, true
	case slices.ContainsFunc(ssrf.IPv4DeniedPrefixes, contains), slices.ContainsFunc(ssrf.IPv6DeniedPrefixes, contains):
		return Special, true
	default:
		return "", false
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// metadata lists the addresses at which clouds hand credentials to whoever asks.
func metadata() []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{169, 254, 169, 254}), // AWS, Azure, Google Cloud, DigitalOcean, Hetzner, OpenStack, …
		netip.AddrFrom4([4]byte{169, 254, 170, 2}),   // AWS ECS task credentials
		netip.AddrFrom4([4]byte{169, 254, 170, 23}),  // AWS EKS pod identity
		netip.AddrFrom4([4]byte{169, 254, 42, 42}),   // Scaleway
		netip.AddrFrom4([4]byte{100, 100, 100, 200}), // Alibaba Cloud
		netip.AddrFrom4([4]byte{192, 0, 0, 192}),     // Oracle Cloud
		netip.AddrFrom4([4]byte{168, 63, 129, 16}),   // Azure's wire server; a public address by the registry
		netip.MustParseAddr("fd00:ec2::254"),         // AWS
		netip.MustParseAddr("fd00:ec2::23"),          // AWS EKS pod identity
		netip.MustParseAddr("fd20:ce::254"),          // Google Cloud
		netip.MustParseAddr("fd00:42::42"),           // Scaleway
	}
}

func special4() []named {
	return []named{
		{prefix("0.0.0.0/8"), Unspecified},
		{prefix("10.0.0.0/8"), Private},
		{prefix("172.16.0.0/12"), Private},
		{prefix("192.168.0.0/16"), Private},
		{prefix("100.64.0.0/10"), SharedNAT},
		{prefix("127.0.0.0/8"), Loopback},
		{prefix("169.254.0.0/16"), LinkLocal},
		{prefix("192.0.2.0/24"), Documentation},
		{prefix("198.51.100.0/24"), Documentation},
		{prefix("203.0.113.0/24"), Documentation},
		{prefix("198.18.0.0/15"), Benchmarking},
		{prefix("224.0.0.0/4"), Multicast},
		{prefix("255.255.255.255/32"), Broadcast},
		{prefix("240.0.0.0/4"), Reserved},
	}
}

func special6() []named {
	return []named{
		{prefix("::/128"), Unspecified},
		{prefix("::1/128"), Loopback},
		{prefix("::/96"), Compatible},
		{prefix("64:ff9b:1::/48"), NAT64Local},
		{prefix("100::/64"), Discard},
		{prefix("2001::/32"), Teredo},
		{prefix("2001:2::/48"), Benchmarking},
		{prefix("2001:db8::/32"), Documentation},
		{prefix("3fff::/20"), Documentation},
		{prefix("2002::/16"), SixToFour},
		{prefix("fc00::/7"), UniqueLocal},
		{prefix("fe80::/10"), LinkLocal},
		{prefix("fec0::/10"), SiteLocal},
		{prefix("ff00::/8"), Multicast},
	}
}

package egress

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// OwnListener is the class of an address on which this process listens itself.
const OwnListener Class = "a listener of this Sallyport itself"

// Own are the addresses on which this process listens. A request that left through the gate and came in at one of them
// would be the gate's own word: at the admin listener, or for ever in a circle. The zero Own has none; it is safe for
// concurrent use.
type Own struct {
	listeners atomic.Pointer[[]netip.AddrPort]
}

// Set replaces the list.
func (o *Own) Set(listeners ...netip.AddrPort) { o.listeners.Store(&listeners) }

// Has tells whether a connection to addr would come out at one of the listeners: by the address that one is bound to,
// by any local one where it is bound to all, by the unspecified address, which the kernel takes for this machine, or in
// an IPv6 address that stands for an IPv4 one. A nil Own has none.
func (o *Own) Has(addr netip.AddrPort) bool {
	if o == nil {
		return false
	}
	listeners := o.listeners.Load()
	if listeners == nil {
		return false
	}
	ip := addr.Addr().WithZone("").Unmap()
	inner, tunnelled := netip.Addr{}, false
	if ip.Is6() {
		inner, tunnelled = embedded(ip)
	}
	for _, l := range *listeners {
		if l.Port() == addr.Port() && (reaches(ip, l.Addr()) || tunnelled && reaches(inner, l.Addr())) {
			return true
		}
	}
	return false
}

// reaches tells whether a connection to ip comes out at a socket that is bound to bound.
func reaches(ip, bound netip.Addr) bool {
	bound = bound.WithZone("").Unmap()
	switch {
	case ip == bound:
		return true
	case ip.IsUnspecified():
		return bound.IsLoopback() || bound.IsUnspecified()
	case bound.IsUnspecified():
		return ip.IsLoopback() || isLocal(ip)
	}
	return false
}

// isLocal tells whether an interface of this machine has the address. If the interfaces cannot be read every address
// may be one.
func isLocal(ip netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if local, ok := netip.AddrFromSlice(n.IP); ok && local.Unmap() == ip {
				return true
			}
		}
	}
	return false
}

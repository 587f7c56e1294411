package token

import "net/netip"

// Allows decides as a Grant of this scope would, for explanations that have no token at hand.
func (s Scope) Allows(service, method string, source netip.Addr) (ok bool, why string) {
	r := compile(s)
	return r.allows(service, method, source)
}

package token

import "net/netip"

// Allows decides as the Rules of this scope would, for explanations that have no token at hand.
func (s Scope) Allows(service, method string, source netip.Addr) (ok bool, why string) {
	return compile(s).Allows(service, method, source)
}

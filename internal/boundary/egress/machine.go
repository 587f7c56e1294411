package egress

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"sallyport/internal/fault"
)

// machine tells whether err is of the machine beneath the gate, and sets f to what it lacks. It looks at everything
// that a dial, a look-up, or an open connection can meet there: the API was not reached then, and says nothing by it.
func machine(err error, f **fault.Fault) bool {
	*f = fault.Machine(err)
	switch {
	case *f != nil:
	case asType[*net.DNSError](err):
		*f = fault.Machine(noDescriptor())
	case (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EADDRINUSE)) && !withoutIPv6(err):
		*f = fault.Short("has no local port left for another connection to the API's address", "out of ports",
			"widen net.ipv4.ip_local_port_range, or see why connections are not used again: an API that closes each "+
				"of them leaves its port in TIME_WAIT for a minute")
	case opens(err) && errors.Is(err, syscall.EAGAIN):
		*f = fault.Short("could not open another connection for the moment", "out of resources",
			"raise the limits of this machine or container")
	case opens(err) && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)):
		*f = fault.Short("does not let Sallyport connect to the API's address", "not permitted",
			"a firewall, a network policy or a sandbox of this machine forbids it: look at its outgoing rules")
	}
	return *f != nil
}

// noDescriptor is why no file can be opened now, or nil. A resolver that could not open its files or its socket says
// that there is no such host (glibc's does), or that a server it made up refused.
func noDescriptor() error {
	file, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	return file.Close()
}

// opens tells an error of opening a connection.
func opens(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// withoutIPv6 tells an IPv6 address that no connection can begin from because this machine has none of its own: that
// says EADDRNOTAVAIL as well where IPv6 is switched off.
func withoutIPv6(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Addr == nil {
		return false
	}
	to, parsed := netip.ParseAddrPort(op.Addr.String())
	if parsed != nil || to.Addr().Unmap().Is4() {
		return false
	}
	own, failed := net.InterfaceAddrs()
	if failed != nil {
		return true
	}
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsLoopback() == to.Addr().IsLoopback() &&
			!n.IP.IsLinkLocalUnicast() {
			return false
		}
	}
	return true
}

package egress_test

import (
	"net"
	"net/netip"
	"testing"

	"sallyport/internal/boundary/egress"
)

// TestOwn: an address is the gate's own by whatever form leads there, and no other is.
func TestOwn(t *testing.T) {
	host := outward(t)
	for _, c := range []struct {
		bound, to string
		want      bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "127.0.0.2:80", false},
		{"127.0.0.1:80", "[::ffff:127.0.0.1]:80", true},
		{"127.0.0.1:80", "0.0.0.0:80", true},
		{"127.0.0.1:80", "[::]:80", true},
		{"127.0.0.1:80", "[64:ff9b::7f00:1]:80", true},
		{"127.0.0.1:80", "[2002:7f00:1::]:80", true},
		{"127.0.0.1:80", "[::1]:80", false},
		{"127.0.0.1:80", "1.1.1.1:80", false},
		{"[::1]:80", "[::1%lo]:80", true},
		{"[::1]:80", "[::]:80", true},
		{"0.0.0.0:80", "127.9.9.9:80", true},
		{"0.0.0.0:80", "1.1.1.1:80", false},
		{"[::]:80", "[::1]:80", true},
		{"[::]:80", "127.0.0.1:80", true},
		{"[::]:80", netip.AddrPortFrom(host, 80).String(), true},
		{"10.1.2.3:80", "127.0.0.1:80", false},
		{"10.1.2.3:80", "10.1.2.3:80", true},
	} {
		own := new(egress.Own)
		own.Set(netip.AddrPort{}, netip.MustParseAddrPort(c.bound))
		if got := own.Has(netip.MustParseAddrPort(c.to)); got != c.want {
			t.Errorf("bound to %s: %s: got %v, want %v", c.bound, c.to, got, c.want)
		}
	}
	var none *egress.Own
	if to := netip.MustParseAddrPort("127.0.0.1:80"); none.Has(to) || new(egress.Own).Has(to) {
		t.Error("nothing listens, and still it is refused")
	}
}

// outward is an address of this machine, loopback where it has no other.
func outward(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && p.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.MustParseAddr("127.0.0.1")
}

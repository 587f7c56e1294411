package egress_test

import (
	"errors"
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"

	"sallyport/internal/boundary/egress"
)

func TestCheck(t *testing.T) {
	tests := []struct {
		addr string
		want egress.Class // "" is allowed
	}{
		{"1.1.1.1", ""},
		{"8.8.8.8", ""},
		{"172.15.255.255", ""},
		{"172.32.0.1", ""},
		{"100.63.255.255", ""},
		{"100.128.0.1", ""},
		{"2606:4700:4700::1111", ""},
		{"2a00:1450:4001:82a::200e", ""},
		{"::ffff:8.8.8.8", ""},
		{"64:ff9b::808:808", ""}, // 8.8.8.8 behind DNS64

		{"0.0.0.0", egress.Unspecified},
		{"0.1.2.3", egress.Unspecified},
		{"10.0.0.1", egress.Private},
		{"10.255.255.255", egress.Private},
		{"172.16.0.1", egress.Private},
		{"172.31.255.255", egress.Private},
		{"192.168.1.1", egress.Private},
		{"100.64.0.1", egress.SharedNAT},
		{"100.127.255.255", egress.SharedNAT},
		{"127.0.0.1", egress.Loopback},
		{"127.255.255.254", egress.Loopback},
		{"169.254.1.1", egress.LinkLocal},
		{"169.254.169.254", egress.Metadata},
		{"169.254.170.2", egress.Metadata},
		{"100.100.100.200", egress.Metadata},
		{"168.63.129.16", egress.Metadata},
		{"192.0.0.192", egress.Metadata},
		{"192.0.0.1", egress.Special},
		{"192.0.2.1", egress.Documentation},
		{"198.51.100.1", egress.Documentation},
		{"203.0.113.1", egress.Documentation},
		{"192.31.196.1", egress.Special},
		{"192.52.193.1", egress.Special},
		{"192.88.99.1", egress.Special},
		{"192.175.48.1", egress.Special},
		{"198.18.0.1", egress.Benchmarking},
		{"198.19.255.255", egress.Benchmarking},
		{"224.0.0.1", egress.Multicast},
		{"239.255.255.255", egress.Multicast},
		{"240.0.0.1", egress.Reserved},
		{"255.255.255.255", egress.Broadcast},

		{"::", egress.Unspecified},
		{"::1", egress.Loopback},
		{"::7f00:1", egress.Compatible},
		{"::ffff:10.0.0.1", egress.Private},
		{"::ffff:127.0.0.1", egress.Loopback},
		{"::ffff:169.254.169.254", egress.Metadata},
		{"::ffff:100.64.0.1", egress.SharedNAT},
		{"::169.254.169.254", egress.Metadata},
		{"64:ff9b::a00:1", egress.NAT64},
		{"64:ff9b::7f00:1", egress.NAT64},
		{"64:ff9b::a9fe:a9fe", egress.Metadata},
		{"64:ff9b:1::808:808", egress.NAT64Local},
		{"100::1", egress.Discard},
		{"2001::1", egress.Teredo},
		{"2001:0:4136:e378:8000:63bf:3fff:fdd2", egress.Teredo},
		{"2001:0:4136:e378:8000:63bf:5601:5601", egress.Metadata},
		{"2001:2::1", egress.Benchmarking},
		{"2001:10::1", egress.Special},
		{"2001:db8::1", egress.Documentation},
		{"3fff::1", egress.Documentation},
		{"2002:808:808::1", egress.SixToFour},
		{"2002:a00:1::1", egress.SixToFour},
		{"2002:a9fe:a9fe::1", egress.Metadata},
		{"2620:4f:8000::1", egress.Special},
		{"4000::1", egress.NotGlobal},
		{"5f00::1", egress.NotGlobal},
		{"fc00::1", egress.UniqueLocal},
		{"fd12:3456:789a::1", egress.UniqueLocal},
		{"fd00:ec2::254", egress.Metadata},
		{"fd20:ce::254", egress.Metadata},
		{"fe80::1", egress.LinkLocal},
		{"fe80::1%eth0", egress.LinkLocal},
		{"::ffff:127.0.0.1%eth0", egress.Loopback},
		{"fec0::1", egress.SiteLocal},
		{"ff02::1", egress.Multicast},
	}
	for _, tt := range tests {
		if got := class(egress.Check(netip.MustParseAddr(tt.addr), nil)); got != tt.want {
			t.Errorf("Check(%s) = %q, want %q", tt.addr, got, tt.want)
		}
	}
	if got := class(egress.Check(netip.Addr{}, nil)); got != egress.Invalid {
		t.Errorf("Check(no address) = %q", got)
	}
}

func TestCheckAllow(t *testing.T) {
	tests := []struct {
		addr, allow string
		want        egress.Class
	}{
		{"10.1.2.3", "10.1.2.3/32", ""},
		{"10.1.2.4", "10.1.2.3/32", egress.Private},
		{"10.1.2.3", "10.0.0.0/8", ""},
		{"::ffff:10.1.2.3", "10.0.0.0/8", ""},
		{"10.1.2.3", "::ffff:10.0.0.0/104", ""},
		{"10.1.2.3", "::/0", egress.Private},
		{"fd12::1", "fd00::/8", ""},
		{"fe80::1%eth0", "fe80::1/128", ""},
		{"127.0.0.1", "127.0.0.0/8", ""},
		{"169.254.169.254", "169.254.0.0/16", egress.Metadata},
		{"169.254.169.254", "0.0.0.0/0", egress.Metadata},
		{"169.254.169.254", "169.254.169.254/32", ""},
		{"169.254.1.1", "169.254.0.0/16", ""},
		{"fd00:ec2::254", "fd00::/8", egress.Metadata},
		{"fd00:ec2::254", "fd00:ec2::254/128", ""},
		{"64:ff9b::a00:1", "10.0.0.0/8", egress.NAT64},
		{"64:ff9b::a00:1", "64:ff9b::/96", ""},
		{"64:ff9b::a9fe:a9fe", "64:ff9b::/96", egress.Metadata},
		{"64:ff9b::a9fe:a9fe", "169.254.169.254/32", egress.Metadata},
		{"8.8.8.8", "10.0.0.0/8", ""},
	}
	for _, tt := range tests {
		allow := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix(tt.allow)}
		if got := class(egress.Check(netip.MustParseAddr(tt.addr), allow)); got != tt.want {
			t.Errorf("Check(%s) with %s allowed = %q, want %q", tt.addr, tt.allow, got, tt.want)
		}
	}
}

// TestCheckKnowsTheRegistries has every block that IANA's tables name refused, at
// both ends, whatever our own table says.
func TestCheckKnowsTheRegistries(t *testing.T) {
	for _, p := range append(append([]netip.Prefix{}, ssrf.IPv4DeniedPrefixes...), ssrf.IPv6DeniedPrefixes...) {
		for _, addr := range []netip.Addr{p.Addr(), lastOf(p)} {
			if egress.Check(addr, nil) == nil {
				t.Errorf("%s of %s is allowed", addr, p)
			}
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func class(err error) egress.Class {
	if p, ok := errors.AsType[*egress.ProhibitedError](err); ok {
		return p.Class
	}
	return ""
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			t.Skip("not an address")
		}
		err := egress.Check(addr, nil)
		unmapped := addr.Unmap()
		bad := unmapped.IsPrivate() || unmapped.IsLoopback() || unmapped.IsLinkLocalUnicast() ||
			unmapped.IsMulticast() || unmapped.IsUnspecified()
		if bad && err == nil {
			t.Errorf("%s is allowed", addr)
		}
		if again := egress.Check(unmapped, nil); class(again) != class(err) {
			t.Errorf("%s: %v, but %s: %v", addr, err, unmapped, again)
		}
	})
}

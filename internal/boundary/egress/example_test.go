package egress_test

import (
	"fmt"
	"net/netip"

	"sallyport/internal/boundary/egress"
)

// An address is checked at each dial, after DNS; what an API on the internet cannot have is refused with its reason.
func ExampleCheck() {
	for _, addr := range []string{"93.184.215.14", "10.1.2.3", "169.254.169.254", "::ffff:10.1.2.3"} {
		fmt.Println(egress.Check(netip.MustParseAddr(addr), nil))
	}
	fmt.Println(egress.Check(netip.MustParseAddr("10.1.2.3"), []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}))
	// Output:
	// <nil>
	// dialling 10.1.2.3: the address is private (RFC 1918)
	// dialling 169.254.169.254: the address is a cloud's metadata service
	// dialling 10.1.2.3: the address is private (RFC 1918)
	// <nil>
}

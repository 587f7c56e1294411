package egress

import (
	"net/netip"
	"strconv"
	"strings"
)

// Ambiguous is the class of a host that some resolvers take for an address and others for a name.
const Ambiguous Class = "in a spelling that programs read in different ways: write it as four decimal numbers"

// legacy reads a host as inet_aton(3) does, if it ends in a number (WHATWG URL, "ends in a number checker"): 127.1,
// 0x7f.1, 0177.0.0.1, 2130706433. numeric tells that it does; what is prohibited about it says the error.
func legacy(host string) (err *ProhibitedError, numeric bool) {
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(host, ".")), ".")
	last := labels[len(labels)-1]
	digits := last != "" && strings.Trim(last, "0123456789") == ""
	hex := strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
	if !digits && !hex {
		return nil, false
	}
	addr, ok := inetAton(labels)
	if !ok {
		return &ProhibitedError{Class: Invalid}, true
	}
	if class, prohibited := classify(addr); prohibited {
		return &ProhibitedError{Addr: addr, Class: class}, true
	}
	return &ProhibitedError{Addr: addr, Class: Ambiguous}, true
}

// inetAton reads one to four numbers, each decimal, octal (0…) or hexadecimal (0x…), of which the last fills what is
// left.
func inetAton(labels []string) (netip.Addr, bool) {
	if len(labels) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, label := range labels {
		base, bits := 10, 8
		switch {
		case strings.HasPrefix(label, "0x"):
			base, label = 16, label[2:]
			if label == "" {
				label = "0"
			}
		case len(label) > 1 && label[0] == '0':
			base = 8
		}
		if i == len(labels)-1 {
			bits = 8 * (5 - len(labels))
		}
		n, err := strconv.ParseUint(label, base, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

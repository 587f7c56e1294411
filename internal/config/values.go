package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The errors of this file say what is wanted and never quote what was given: the decoder decides whether that may be
// shown.
var (
	errDuration = errors.New("want a duration such as 500ms, 30s, 5m, 24h or 90d")
	errSize     = errors.New("want a size such as 512, 64KiB, 10MiB or 2GiB")
	errRate     = errors.New("want a rate: N/s, N/m or N/h, such as 50/s")
	errPrefix   = errors.New("want a network such as 10.1.2.0/24, or one address")
	errURL      = errors.New("want a URL such as https://api.example.com/v1")
	errProxy    = errors.New("want the URL of a proxy, such as http://proxy.internal:3128 or " +
		"socks5://proxy.internal:1080")
	errRule = errors.New(`want METHOD[,METHOD] or *, a blank and a path glob, such as "GET /v1/**"`)
)

const day = 24 * time.Hour

// ParseDuration reads Go's syntax with d for days in front, and nothing negative.
func ParseDuration(s string) (time.Duration, error) {
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "", s
	}
	var total time.Duration
	if hasDays {
		n, err := strconv.ParseUint(days, 10, 31)
		if err != nil || n > uint64(math.MaxInt64/day) {
			return 0, errDuration
		}
		total = time.Duration(n) * day
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || strings.ContainsAny(rest, "+-") || total+d < total {
			return 0, errDuration
		}
		total += d
	}
	if s == "" || s == "0" {
		return 0, errDuration
	}
	return total, nil
}

// FormatDuration writes d as ParseDuration reads it: 90d, 36h, 1m30s.
func FormatDuration(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Size is a number of bytes.
type Size int64

type sizeUnit struct {
	name  string
	bytes int64
}

func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// ParseSize reads a number of bytes, or of KiB, MiB, GiB or TiB.
func ParseSize(s string) (Size, error) {
	unit := int64(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = rest, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit || s[0] == '+' {
		return 0, errSize
	}
	return Size(n * unit), nil
}

// String writes the size as ParseSize reads it.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Rate is a number of requests in a time. The zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration // a second, a minute or an hour
}

const maxRate = 10_000_000

// ParseRate reads N/s, N/m or N/h with N at least 1.
func ParseRate(s string) (Rate, error) {
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil || n == 0 || n > maxRate {
		return Rate{}, errRate
	}
	rate := Rate{Count: int(n)}
	switch strings.TrimSpace(unit) {
	case "s":
		rate.Per = time.Second
	case "m":
		rate.Per = time.Minute
	case "h":
		rate.Per = time.Hour
	default:
		return Rate{}, errRate
	}
	return rate, nil
}

// IsZero tells whether there is no limit.
func (r Rate) IsZero() bool { return r.Count == 0 }

// PerSecond is the rate as golang.org/x/time/rate counts it.
func (r Rate) PerSecond() float64 {
	if r.Per == 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String writes the rate as ParseRate reads it.
func (r Rate) String() string {
	switch {
	case r.IsZero():
		return ""
	case r.Per >= time.Hour:
		return strconv.Itoa(r.Count) + "/h"
	case r.Per >= time.Minute:
		return strconv.Itoa(r.Count) + "/m"
	}
	return strconv.Itoa(r.Count) + "/s"
}

// Rule is one line of a service's allow list.
type Rule struct {
	Methods []string // nil: any
	// glob over the decoded path below the base path: * within a segment, ** as a whole segment over segments
	Path string
}

// ParseRule reads "METHOD[,METHOD] /glob" or "* /glob".
func ParseRule(s string) (Rule, error) {
	methods, path, ok := strings.Cut(s, " ")
	path = strings.TrimLeft(path, " ")
	if !ok || path == "" {
		return Rule{}, errRule
	}
	rule := Rule{Path: path}
	if methods != "*" {
		for m := range strings.SplitSeq(methods, ",") {
			if !isMethod(m) {
				return Rule{}, fmt.Errorf("the methods before the blank are capitals, separated by commas: %w", errRule)
			}
			rule.Methods = append(rule.Methods, m)
		}
	}
	return rule, checkGlob(path)
}

// checkGlob takes what a request's path can be and the two wildcards. A rule that can never match is a mistake.
func checkGlob(path string) error {
	if !strings.HasPrefix(path, "/") {
		return errors.New("the path of a rule begins with /")
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`?#\"<>^{|}`+"`", c) >= 0 {
			return errors.New("the path of a rule has no blanks, queries or characters that a path cannot have")
		}
	}
	if decoded, err := url.PathUnescape(path); err != nil || decoded != path {
		return errors.New("the path of a rule is written decoded: it is compared with decoded segments, so % never " +
			"matches an escape")
	}
	for seg := range strings.SplitSeq(path[1:], "/") {
		if seg == "." || seg == ".." {
			return errors.New("the path of a rule has a dot segment, which no request that gets so far has")
		}
		if seg != "**" && strings.Contains(seg, "**") {
			return errors.New("** in a rule is a whole segment: /v1/** or /v1/**/files")
		}
	}
	return nil
}

// String writes the rule as ParseRule reads it.
func (r Rule) String() string {
	if len(r.Methods) == 0 {
		return "* " + r.Path
	}
	return strings.Join(r.Methods, ",") + " " + r.Path
}

// parsePrefix reads a network without host bits, or one address as a network of its own.
func parsePrefix(s string) (netip.Prefix, error) {
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

// parseURL reads an absolute http(s) URL that names a place and nothing else.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || !isPrintable(s) {
		return nil, errURL
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL begins with http:// or https://: %w", errURL)
	case u.User != nil:
		return nil, errors.New("the URL holds a user or password: those belong in the credential, by reference")
	case u.RawQuery != "" || u.ForceQuery:
		return nil,
			errors.New("the URL holds a query: keys belong in the credential (kind: query), the rest into the request")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("the URL holds a fragment, which is never sent")
	}
	if err := checkHostPort(u); err != nil {
		return nil, err
	}
	return u, checkBase(u)
}

// parseProxy reads the URL of a proxy: a scheme, a host and perhaps a port.
func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || !isPrintable(s):
		return nil, errProxy
	case u.Scheme != "http" && u.Scheme != "socks5":
		return nil, fmt.Errorf("the URL begins with http:// or socks5://: %w", errProxy)
	case u.User != nil:
		return nil, errors.New("the URL holds a user or password: those belong in a store, and proxy_secret names them")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return nil, errors.New("the URL of a proxy ends with its port")
	}
	u.Path = ""
	return u, checkHostPort(u)
}

func checkHostPort(u *url.URL) error {
	if !isHost(u.Hostname()) {
		return errors.New("the URL needs a host: a name in a-z, 0-9, '-' and '.' (other scripts in punycode), or an " +
			"address")
	}
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return errors.New("the port after ':' is missing")
	}
	if port != "" && !isPort(port, 1) {
		return errors.New("the port is a number from 1 to 65535")
	}
	return nil
}

// checkBase normalises the base path: no slash at the end.
func checkBase(u *url.URL) error {
	u.Path = strings.TrimSuffix(u.Path, "/")
	if strings.ContainsAny(u.EscapedPath(), "%\\;") {
		return errors.New("the base path is written without escapes")
	}
	if u.Path == "" {
		return nil
	}
	for seg := range strings.SplitSeq(u.Path[1:], "/") {
		if seg == "" || seg == "." || seg == ".." {
			return errors.New("the base path has an empty or a dot segment")
		}
	}
	return nil
}

func isPort(s string, least uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= least
}

// isHost takes an IP address without zone, or a DNS name. Underscores pass: container names have them.
func isHost(s string) bool {
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
		if strings.ContainsFunc(label, func(r rune) bool { return !isAlnum(r) && r != '-' && r != '_' }) {
			return false
		}
	}
	return true
}

func isAlnum(r rune) bool {
	return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' })
}

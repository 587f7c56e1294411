package credential

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/secret"
)

// cookie is a cookie of that name, beside those of the caller's that the service lets pass.
func cookie(s Spec, value secret.Value) (placement, error) {
	if err := checkCookieName(s.Cookie); err != nil {
		return placement{}, err
	}
	dressed, err := cookieValue(s.Format, value)
	return placement{cookie: s.Cookie, value: dressed}, err
}

// cookieValue dresses the secret for a cookie (RFC 6265 section 4.1.1): what stands there is cookie-octets, which are
// not encoded in any way, so a secret with another character is refused. The error never quotes the secret.
func cookieValue(format string, value secret.Value) (string, error) {
	dressed := dress(format, value)
	for i := range len(dressed) {
		if !isCookieOctet(dressed[i]) {
			return "",
				fmt.Errorf("the cookie's value has a character at byte %d that cannot stand in a cookie: no blank, "+
					"quote, comma, semicolon, backslash, nor beyond ASCII", i)
		}
	}
	return dressed, nil
}

func isCookieOctet(c byte) bool {
	return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' && c != '\\'
}

// withCookie returns the values of a Cookie field with name set: a cookie of that name which the caller sent is gone,
// the others stay as they are, in order, and ours is the last, in one line (RFC 6265 section 5.4 knows one only). lines
// is not changed.
func withCookie(lines []string, name, value string) []string {
	return []string{strings.Join(append(otherCookies(lines, name), name+"="+value), "; ")}
}

// WithoutCookie returns the values of a Cookie field without the cookies of that name; nil when nothing is left.
func WithoutCookie(lines []string, name string) []string {
	if kept := otherCookies(lines, name); len(kept) > 0 {
		return []string{strings.Join(kept, "; ")}
	}
	return nil
}

// Cookies returns the values of the cookies of that name.
func Cookies(lines []string, name string) (values []string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			if strings.TrimRight(key, " \t") == name {
				values = append(values, strings.Trim(value, " \t\""))
			}
		}
	}
	return values
}

func otherCookies(lines []string, name string) []string {
	kept := make([]string, 0, 4)
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			key, _, _ := strings.Cut(pair, "=")
			if pair != "" && strings.TrimRight(key, " \t") != name {
				kept = append(kept, pair)
			}
		}
	}
	return kept
}

// checkCookieName wants a token (RFC 6265 section 4.1.1).
func checkCookieName(name string) error {
	separators := `()<>@,;:\"/[]?={}`
	if name == "" || slices.ContainsFunc([]byte(name), func(c byte) bool {
		return c <= ' ' || c >= 0x7f || strings.IndexByte(separators, c) >= 0
	}) {
		return fmt.Errorf("%q is no name of a cookie", name)
	}
	return nil
}

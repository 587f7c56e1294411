package credential

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"sallyport/internal/secret"
)

// path is a prefix of the path, behind the service's base path.
func path(s Spec, value secret.Value) (placement, error) {
	prefix, err := pathPrefix(s.Format, value)
	return placement{prefix: prefix}, err
}

// pathPrefix is what is put before the path of each request: the format, such as /bot{secret}, with the secret in it
// percent-encoded. No slash and no dot segment comes out of the secret, whoever decodes the path and how often: a
// slash, a backslash or a control character is refused rather than encoded. The error never quotes the secret.
func pathPrefix(format string, value secret.Value) (string, error) {
	if err := checkPathFormat(format); err != nil {
		return "", err
	}
	encoded, err := pathSegment(value.Reveal())
	if err != nil {
		return "", err
	}
	prefix := strings.ReplaceAll(format, placeholder, encoded)
	for segment := range strings.SplitSeq(prefix, "/") {
		if isDotSegment(segment) {
			return "", errors.New("the secret makes a dot segment of the path, which servers resolve")
		}
	}
	return prefix, nil
}

// pathPlain are the characters beside letters and digits that stay as they are: unreserved, and those pchar (RFC 3986)
// that no server reads anything into. A semicolon would begin a parameter, and is encoded.
const pathPlain = "-_.~:@!$&'()*+,="

func pathSegment(raw []byte) (string, error) {
	var b strings.Builder
	for i, c := range raw {
		switch {
		case c == '/' || c == '\\':
			return "", fmt.Errorf("the secret has a slash at byte %d, which would divide the path", i)
		case c < ' ' || c == 0x7f:
			return "", fmt.Errorf("the secret has a control character at byte %d, which cannot stand in a path", i)
		case c == '%' && decodesToSyntax(raw[i:]):
			return "",
				fmt.Errorf("the secret has an encoded slash, dot or percent sign at byte %d; set it as it is before "+
					"it is encoded", i)
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte(pathPlain, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}

// decodesToSyntax tells whether s begins with an escape that would matter if the path were decoded twice.
func decodesToSyntax(s []byte) bool {
	if len(s) < 3 {
		return false
	}
	decoded, err := url.PathUnescape(string(s[:3]))
	return err == nil && (decoded < " " || decoded == "\x7f" || strings.ContainsAny(decoded, `/\.%`))
}

// isDotSegment knows . and .., also with path parameters behind them (..;x), which some servers cut.
func isDotSegment(segment string) bool {
	segment, _, _ = strings.Cut(strings.ToLower(segment), "%3b")
	segment = strings.ReplaceAll(segment, "%2e", ".")
	return segment == "." || segment == ".."
}

// checkPathFormat wants a path that more path can follow, with the secret in it.
func checkPathFormat(format string) error {
	switch {
	case !strings.HasPrefix(format, "/"):
		return fmt.Errorf("the format %q does not begin with a slash", format)
	case !strings.Contains(format, placeholder):
		return fmt.Errorf("the format %q has no %s", format, placeholder)
	case strings.HasSuffix(format, "/"):
		return fmt.Errorf("the format %q ends in a slash: the path that follows begins with one", format)
	case strings.Contains(format, "//"):
		return fmt.Errorf("the format %q has an empty segment", format)
	}
	rest := strings.ReplaceAll(format, placeholder, "")
	for i := range len(rest) {
		if c := rest[i]; c != '/' && c != '%' && c != ';' &&
			(c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}?#", c) >= 0) {
			return fmt.Errorf("the format %q has the character %q, which cannot stand in a path", format, c)
		}
	}
	return nil
}

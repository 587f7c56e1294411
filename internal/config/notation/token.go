package notation

import "regexp"

var token = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")

// IsToken tells names of headers and cookies (RFC 9110 section 5.6.2).
func IsToken(s string) bool { return token.MatchString(s) }

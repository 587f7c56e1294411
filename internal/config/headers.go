package config

import (
	"slices"
	"strings"

	"sallyport/internal/config/notation"
)

// headerProblem says why a header cannot be set by a service.
func headerProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !notation.IsToken(name):
		return "is not a header name"
	case strings.HasPrefix(lower, "x-sallyport-"), strings.HasPrefix(lower, "proxy-"):
		return "is a header between the caller and Sallyport, which never goes to an API"
	case slices.Contains([]string{"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}, lower):
		return "is a header of the connection (hop-by-hop), not of the request"
	case slices.Contains([]string{
		"host", "content-length", "content-type", "content-encoding",
		"expect", "date", "via", "forwarded", "accept-encoding",
	}, lower):
		return "is a header that HTTP itself gives a meaning, not one for a service to set"
	case slices.Contains([]string{"cookie", "set-cookie"}, lower):
		return "is the cookie header; a credential in a cookie is of kind cookie"
	}
	return ""
}

func carriesCredential(name string) bool {
	lower := strings.ToLower(name)
	return slices.ContainsFunc([]string{"authorization", "api-key", "apikey", "token", "secret", "password"},
		func(part string) bool {
			return strings.Contains(lower, part)
		})
}

// namesHeader tells whether a map has a header, in whatever case.
func namesHeader(all map[string]string, header string) bool {
	for name := range all {
		if strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

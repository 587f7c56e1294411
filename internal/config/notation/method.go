package notation

import (
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/config/wording"
)

// methods are the registered ones (IANA HTTP Method Registry, RFC 9110 section 16.1), the common ones first.
var methods = []string{
	"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY",
	"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
	"MKCALENDAR", "MKCOL",
	"MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND", "REPORT", "SEARCH",
	"UNBIND", "UNCHECKOUT",
	"UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
}

// neverPassed are methods that the gate refuses whatever the rules say: what answers them may show the credential.
var neverPassed = []string{"CONNECT", "TRACE", "TRACK"}

// Methods are the ones that most APIs use, for a shell that completes a word.
func Methods() []string { return slices.Clone(methods[:8]) }

// MethodDoubt says what is odd about a method that has the form of one, and what may have been meant; "" where nothing
// is.
func MethodDoubt(method string) (doubt, hint string) {
	switch {
	case slices.Contains(methods, method):
		return "", ""
	case slices.Contains(neverPassed, method):
		return "names " + method + ", which no request can have: Sallyport refuses it always", "leave it out"
	}
	hint = "if the API has a method of that name, all is well; otherwise nothing matches it"
	if meant := wording.Nearest(method, methods); meant != "" {
		hint = "did you mean " + strconv.Quote(meant) + "?"
	}
	return "names a method that does not exist: " + wording.Show(method), hint
}

// IsMethod tells whether s has the form of a method. A method is any token (RFC 9110 section 9.1); those of APIs are
// capitals.
func IsMethod(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return (c < 'A' || c > 'Z') && c != '-' })
}

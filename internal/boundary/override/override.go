// Package override finds the ways by which a request asks its server to take another method than the one it was sent
// with.
//
// An API behind an allow rule is only as safe as the method that its framework sees. There is no standard for naming
// another one, and every framework has its own: a header (X-HTTP-Method-Override: Google, Rack, Laravel, Symfony,
// ASP.NET, Yii; X-HTTP-Method: OData and SharePoint; X-Method-Override: IBM, ArangoDB; X-Tunneled-Method: Catalyst), a
// parameter of the query (_method: Laravel, Symfony, Spring, WordPress, Marketo; _HttpMethod: Salesforce; method:
// Facebook, Restlet; _method_override: WAI; $httpMethod), or a field of a form or of a JSON object that is posted
// (_method: Rails, Laravel, Spring, Express, Yii, Hono; _METHOD: Slim). CGI and WSGI servers read
// X_HTTP_Method_Override as X-HTTP-Method-Override. So names are compared by their letters and digits alone.
//
// The package decides nothing: it says which methods a request names. It reads no body to its end and keeps none of it.
package override

import (
	"iter"
	"net/url"
	"strings"
)

// Unknown is what is yielded for a request that names a method in a way that cannot be read.
const Unknown = "?"

// always are the names that carry a method whatever their value looks like.
//
//nolint:gochecknoglobals // a constant table
var always = map[string]bool{
	"xhttpmethodoverride": true, "xhttpmethod": true, "xmethodoverride": true, "xmethod": true, "xoverridemethod": true,
	"httpmethodoverride": true, "httpmethod": true, "methodoverride": true, "overridemethod": true,
	"xtunneledmethod": true, "tunneledmethod": true, "xoriginalmethod": true, "xrewritemethod": true, "xhttpverb": true,
}

// verbs are the methods that some server knows: of a name that has another meaning as often as not (method=flickr.test,
// payment_method=card) only such a value counts.
//
//nolint:gochecknoglobals // a constant table
var verbs = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true,
	"TRACE": true, "TRACK": true,
	"CONNECT": true, "MERGE": true, "LINK": true, "UNLINK": true, "COPY": true, "MOVE": true, "PURGE": true,
	"LOCK": true, "UNLOCK": true,
	"MKCOL": true, "PROPFIND": true, "PROPPATCH": true, "SEARCH": true, "REPORT": true, "QUERY": true,
}

// Header yields the name of each field that names a method, with that method in upper case. The names of fields are in
// canonical form.
func Header(fields iter.Seq2[string, []string]) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for name, values := range fields {
			// a browser's question, which changes nothing
			if !speaksOfMethod(name) || name == "Access-Control-Request-Method" {
				continue
			}
			for _, value := range values {
				for one := range strings.SplitSeq(value, ",") { // Express takes the first of a list, others the last
					if method := named(name, one); method != "" && !yield(name, method) {
						return
					}
				}
			}
		}
	}
}

// Query yields the name of each parameter of a raw query that names a method, with that method in upper case.
func Query(raw string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for raw != "" {
			pair := raw
			if i := strings.IndexAny(raw, "&;"); i >= 0 { // older servers divide at semicolons, too
				pair, raw = raw[:i], raw[i+1:]
			} else {
				raw = ""
			}
			name, value, _ := strings.Cut(pair, "=")
			name, value = unescape(name), unescape(value)
			if !speaksOfMethod(name) && letters(name) != "httpheaders" {
				continue
			}
			if method := named(name, value); method != "" && !yield(name, method) {
				return
			}
		}
	}
}

// speaksOfMethod sorts out nearly every name, fast.
func speaksOfMethod(name string) bool {
	return containsFold(name, "method") || containsFold(name, "verb")
}

// containsFold is strings.Contains without regard to case; lower is in lower case.
func containsFold(s, lower string) bool {
	for i := 0; i+len(lower) <= len(s); i++ {
		if s[i]|0x20 == lower[0] && strings.EqualFold(s[i:i+len(lower)], lower) {
			return true
		}
	}
	return false
}

// named is the method that a field of this name and value stands for, or "".
func named(name, value string) string {
	if letters(name) == "httpheaders" { // Google's $httpHeaders: header fields in the query, any of them
		return Unknown
	}
	method := strings.ToUpper(strings.Trim(value, " \t\r\n\x00\"'"))
	if method == "" || !dedicated(name) && !verbs[method] {
		return ""
	}
	return method
}

// dedicated tells whether a name has no other meaning than to carry a method.
func dedicated(name string) bool {
	compact := letters(name)
	// _method; PHP makes it of .method and [method, too
	return always[compact] || compact == "method" && !isAlnum(name[0])
}

// letters is name in lower case without all that is neither letter nor digit.
func letters(name string) string {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; isAlnum(c) {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// unescape decodes a name or a value of a query or form; what cannot be decoded is compared as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

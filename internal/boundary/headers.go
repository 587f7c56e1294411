package boundary

import (
	"net/http"
	"strconv"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// neverSent lists what a caller's request loses on the way to an API: hop-by-hop fields (RFC 9110 section 7.6.1), the
// caller's own credentials, and what would tell the API about the network behind the gate.
//
//nolint:gochecknoglobals // a constant table
var neverSent = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true,
	"Upgrade":           true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Proxy-Authentication-Info": true,
	"Http2-Settings":            true,
	"Authorization":             true, "Host": true, "Content-Length": true, "Accept-Encoding": true, "Expect": true,
	"Forwarded": true, "Via": true, "X-Real-Ip": true, "Proxy-Status": true,
	// some servers take the path from them: another one than the rules saw
	"X-Original-Url": true, "X-Rewrite-Url": true, "X-Original-Uri": true, "X-Rewrite-Uri": true,
}

// neverReturned lists what an API's response loses: hop-by-hop fields, what only Sallyport may say, what a credential
// could come back in by design (a session minted from it), and what would lead the caller around the gate.
//
//nolint:gochecknoglobals // a constant table
var neverReturned = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true,
	"Upgrade":           true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Proxy-Authentication-Info": true,
	"Proxy-Status":              true, "Alt-Svc": true, "Authentication-Info": true,
}

// CheckHeaders refuses look-alikes of protected headers: servers that map - to _ (CGI, WSGI) read authorization_ or
// x_sallyport_token as the real one.
func CheckHeaders(h Header) *fault.Fault {
	for name := range h.All() {
		if strings.IndexByte(name, '_') >= 0 && protected(strings.Trim(strings.ReplaceAll(name, "_", "-"), "-")) {
			return fault.New(fault.RequestMalformed,
				"a header is written with underscores to look like a protected one")
		}
	}
	return nil
}

// checkTwin is CheckHeaders for a header that the service's own credential sets.
func checkTwin(h Header, slot string) *fault.Fault {
	if slot == "" || slot == "Authorization" || h == nil {
		return nil
	}
	for name := range h.All() {
		if strings.IndexByte(name, '_') >= 0 && strings.EqualFold(strings.Trim(strings.ReplaceAll(name, "_", "-"), "-"),
			slot) && name != slot {
			return fault.New(fault.RequestMalformed,
				"a header is written with underscores to look like one that the credential sets")
		}
	}
	return nil
}

func protected(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return neverSent[name] || name == "Cookie" || strings.HasPrefix(name, headerPrefix) ||
		strings.HasPrefix(name, "X-Forwarded-")
}

// outgoingHeader copies what of the caller's header goes on to the API. Step 5 begins here: strip first, inject after.
func outgoingHeader(in http.Header, svc *service.Service) http.Header {
	out := make(http.Header, len(in)+2)
	named := nominated(in["Connection"])
	for name, values := range in {
		switch {
		case neverSent[name], strings.HasPrefix(name, headerPrefix), strings.HasPrefix(name, "X-Forwarded-"):
		case isSlot(svc, name), name == "Cookie" && !svc.PassCookies:
		case name == "Cookie":
			if values = otherCookies(svc, values); values != nil {
				out[name] = values
			}
		case named != nil && named[name]:
		default:
			out[name] = values
		}
	}
	for name, value := range svc.Headers {
		if _, set := out[name]; !set || svc.Override[name] {
			out[name] = []string{value}
		}
	}
	if _, set := out["User-Agent"]; !set {
		out["User-Agent"] = nil // net/http would add its own
	}
	return out
}

// isSlot tells whether a credential of the service stands in the header of that name.
func isSlot(svc *service.Service, name string) bool {
	for i := range svc.Slots {
		if svc.Slots[i].Header == name {
			return true
		}
	}
	return false
}

func otherCookies(svc *service.Service, lines []string) []string {
	for i := range svc.Slots {
		if name := svc.Slots[i].Cookie; name != "" {
			lines = credential.WithoutCookie(lines, name)
		}
	}
	return lines
}

// withoutSlots removes the query parameters in which the service's credentials stand.
func withoutSlots(rawQuery string, svc *service.Service) string {
	for i := range svc.Slots {
		rawQuery = withoutParam(rawQuery, svc.Slots[i].Param)
	}
	return rawQuery
}

// nominated returns the fields that Connection declares hop-by-hop, or nil in the common case of none.
func nominated(connection []string) map[string]bool {
	var named map[string]bool
	for _, line := range connection {
		if strings.EqualFold(line, "close") || strings.EqualFold(line, "keep-alive") {
			continue
		}
		for option := range strings.SplitSeq(line, ",") {
			if named == nil {
				named = make(map[string]bool)
			}
			named[http.CanonicalHeaderKey(strings.TrimSpace(option))] = true
		}
	}
	return named
}

// withoutParam removes a query parameter and leaves every other byte as it was.
func withoutParam(rawQuery, name string) string {
	if name == "" || rawQuery == "" {
		return rawQuery
	}
	var kept []string
	for part := range strings.SplitSeq(rawQuery, "&") {
		if part, some := withoutSemicolons(part, name); some {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// withoutSemicolons removes the parameter from a part of a query, also where semicolons divide it: some servers still
// read them so (HTML 4.01, appendix B.2.2). some is false if nothing is left.
func withoutSemicolons(part, name string) (_ string, some bool) {
	var kept []string
	for pair := range strings.SplitSeq(part, ";") {
		if key, _, _ := strings.Cut(pair, "="); !paramIs(key, name) {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, ";"), kept != nil
}

// returnHeader copies the API's header to the caller's, without what may not return and with every held secret masked.
func returnHeader(dst, src http.Header, svc *service.Service, forms *scrub.Set) (scrubbed int) {
	named := nominated(src["Connection"])
	for name, values := range src {
		switch {
		case neverReturned[name], strings.HasPrefix(name, headerPrefix), named != nil && named[name]:
			continue
		case !svc.PassCookies && (name == "Set-Cookie" || name == "Set-Cookie2"):
			continue
		case strings.IndexByte(name, '_') >= 0 && forged(name):
			continue
		case forms.FindsFolded(name): // there is no name left that would say anything
			scrubbed++
			continue
		}
		masked, n := maskValues(values, forms)
		dst[name] = masked
		scrubbed += n
	}
	return scrubbed
}

// tidy takes the blanks before the colon off the names of a response's fields, as RFC 9112 section 5.1 demands of a
// proxy; net/http keeps them in the name. Where the field says how long the response is there is no telling any more:
// net/http has read it without.
//
// What net/http lets through is no response: a status that is none (RFC 9110 section 15; 099, and over HTTP/2 any
// number), and over HTTP/2 a Content-Length that stands twice or is no number, which the caller would get as it is.
func tidy(resp *http.Response) *fault.Fault {
	if resp.StatusCode < 100 || resp.StatusCode > 999 {
		_ = resp.Body.Close()
		return fault.New(fault.UpstreamMalformed,
			"its response has status "+strconv.Itoa(resp.StatusCode)+", which is none").
			WithDetails("malformed status")
	}
	if length := resp.Header["Content-Length"]; length != nil && (len(length) > 1 || !isNumber(length[0])) {
		_ = resp.Body.Close()
		return fault.New(fault.UpstreamMalformed, "its response has a Content-Length that is not one plain number").
			WithDetails("malformed response header")
	}
	for name, values := range resp.Header {
		plain := strings.TrimRight(name, " ")
		if plain == name || plain == "" {
			continue
		}
		delete(resp.Header, name)
		plain = http.CanonicalHeaderKey(plain)
		switch plain {
		case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
			_ = resp.Body.Close()
			return fault.New(fault.UpstreamMalformed,
				"its response has a blank before the colon of "+plain+", so that nobody can tell where it ends").
				WithDetails("malformed response header")
		}
		resp.Header[plain] = append(resp.Header[plain], values...)
	}
	return nil
}

// isNumber is 1*DIGIT (RFC 9110 section 8.6).
func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// forged tells whether a name with underscores reads like one of Sallyport's own.
func forged(name string) bool {
	name = http.CanonicalHeaderKey(strings.Trim(strings.ReplaceAll(name, "_", "-"), "-"))
	return neverReturned[name] || strings.HasPrefix(name, headerPrefix)
}

// maskValues returns values itself when nothing had to be masked.
func maskValues(values []string, forms *scrub.Set) (_ []string, scrubbed int) {
	if forms.Empty() {
		return values, 0
	}
	for i, v := range values {
		masked, n := forms.String(v)
		if n > 0 {
			if scrubbed == 0 {
				values = append([]string(nil), values...)
			}
			values[i] = masked
			scrubbed += n
		}
	}
	return values, scrubbed
}

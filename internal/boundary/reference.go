package boundary

import (
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
)

// references lists the headers in which an API names a URL that a workflow calls next: what was created, a job's
// status, where the next part of an upload goes (RFC 9110 sections 8.7 and 10.2.2; Microsoft's guidelines for
// long-running operations; Google's resumable uploads). Of a redirect, Location is pass's business.
//
//nolint:gochecknoglobals // a constant table
var references = []string{
	"Location", "Content-Location", "Operation-Location", "Azure-Asyncoperation",
	"X-Goog-Upload-Url", "X-Goog-Upload-Control-Url",
}

// mapReferences makes the URLs in resp's header that are the service's own lead through the gate, as those of a
// redirect do: past it there is no credential. A URL that is absolute stays so, since a workflow takes it as the URL of
// its next request. All others stay as they are, but for those that would name another service of the gate (see
// astray).
func mapReferences(r *http.Request, resp *http.Response, x *exchange, v *View) {
	m := mapper{x: x, mount: v.Mount, path: v.Path}
	for _, name := range references {
		values := resp.Header[name]
		for i, value := range values {
			if value != "" {
				m.prepare(r, resp)
				values[i] = m.mapped(value)
			}
		}
	}
	if lines := resp.Header["Link"]; lines != nil {
		m.prepare(r, resp)
		resp.Header["Link"] = m.links(lines)
	}
}

// mapper maps references of one response.
type mapper struct {
	x      *exchange
	mount  string
	path   string   // of the request, below mount
	base   *url.URL // what the response's references are relative to
	origin string   // of the gate, as the caller knows it; "": it is not known
}

func (m *mapper) prepare(r *http.Request, resp *http.Response) {
	if m.base == nil {
		m.base, m.origin = baseOf(resp, m.x.service), origin(r)
	}
}

// mapped is one reference.
func (m *mapper) mapped(reference string) string {
	if strings.HasPrefix(reference, "#") {
		return reference
	}
	u, err := m.base.Parse(reference)
	if err != nil || !inside(u, m.x.service, m.x.material) {
		return m.astray(reference)
	}
	at := mounted(u, m.x, m.mount)
	if ref, err := url.Parse(reference); err == nil && ref.Host != "" {
		at = m.origin + at
	}
	return at
}

// astray is a reference outside the service. A client resolves a relative one at the gate, where it may come out at
// another service: an API would have a workflow call that, with the workflow's token. Such a one is written as what it
// means at the API.
func (m *mapper) astray(reference string) string {
	plain := asClientsRead(reference)
	u, err := url.Parse(plain)
	if err != nil || u.Host != "" || u.Opaque != "" {
		return reference
	}
	at := (&url.URL{Path: m.mount + m.path}).ResolveReference(u)
	if mounts := m.mount[:strings.LastIndexByte(m.mount, '/')+1]; mounts == "" || !strings.HasPrefix(at.Path, mounts) {
		return reference
	}
	return m.base.ResolveReference(u).String()
}

// asClientsRead spells a reference in the one way that means the same to every client. Those that follow the URL
// Standard of WHATWG, such as Node.js, take tabs out and blanks off its ends, a backslash for a slash, %2e for a dot,
// and http: without slashes for nothing.
func asClientsRead(reference string) string {
	s := strings.TrimFunc(reference, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(s)
	path, rest := s, ""
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		path, rest = s[:i], s[i:]
	}
	path = strings.NewReplacer(`\`, "/", "%2e", ".", "%2E", ".").Replace(path)
	for _, scheme := range []string{"http:", "https:"} {
		if len(path) >= len(scheme) && strings.EqualFold(path[:len(scheme)], scheme) &&
			!strings.HasPrefix(path[len(scheme):], "//") {
			path = path[len(scheme):]
		}
	}
	return path + rest
}

// links maps the target of every link-value (RFC 8288 section 3): what stands in angle brackets outside of quoted
// strings.
func (m *mapper) links(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		var b strings.Builder
		for rest := line; rest != ""; {
			start := targetStart(rest)
			end := strings.IndexByte(rest[start:], '>')
			if start == len(rest) || end < 0 {
				b.WriteString(rest)
				break
			}
			b.WriteString(rest[:start])
			b.WriteString(m.mapped(rest[start : start+end]))
			rest = rest[start+end:]
		}
		out = append(out, b.String())
	}
	return out
}

// targetStart is where the next link target of s begins: behind its <. It is len(s) if there is none.
func targetStart(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '<' && !quoted:
			return i + 1
		}
	}
	return len(s)
}

// origin is the gate's scheme and host as this caller wrote them. It only ever goes back to the same caller.
func origin(r *http.Request) string {
	switch {
	case r.Host == "":
		return ""
	case r.TLS != nil, strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"): // TLS ends before the gate
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// baseOf is what references in a response of svc are relative to.
func baseOf(resp *http.Response, svc *service.Service) *url.URL {
	if resp.Request != nil {
		path, _, _ := strings.Cut(resp.Request.URL.RequestURI(), "?")
		if b, err := url.Parse(svc.Scheme + "://" + svc.Host + path); err == nil {
			return b
		}
	}
	return &url.URL{Scheme: svc.Scheme, Host: svc.Host, Path: "/"}
}

// inside tells whether u is the service's own: same scheme, host, port and below the base path, and below what a
// credential puts before the path. m is nil for a request without credential.
func inside(u *url.URL, svc *service.Service, m *credential.Material) bool {
	host := strings.ToLower(u.Host)
	if port := u.Port(); port != "" && (u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443") {
		host = strings.TrimSuffix(host, ":"+port)
	}
	if u.User != nil || u.Scheme != svc.Scheme || host != strings.ToLower(svc.Host) {
		return false
	}
	path, below := strings.CutPrefix(u.EscapedPath(), svc.BasePath)
	if below && m != nil {
		path, below = m.TrimPath(path)
	}
	// A client that resolves an encoded dot segment behind the mount would come out at another service of the gate.
	return below && (path == "" || path[0] == '/' && service.CheckPath(path, svc.Paths) == "")
}

// mounted is a Location inside the service as the caller reaches it: through the gate, and without the credential that
// some APIs copy from the query of the request.
func mounted(u *url.URL, x *exchange, mount string) string {
	path, _ := x.material.TrimPath(strings.TrimPrefix(u.EscapedPath(), x.service.BasePath))
	if path == "" && x.service.BasePath == "" && u.EscapedPath() == "" {
		path = "/"
	}
	s := mount + path
	if query := withoutSlots(u.RawQuery, x.service); query != "" {
		s += "?" + query
	}
	if u.Fragment != "" {
		s += "#" + u.EscapedFragment()
	}
	return s
}

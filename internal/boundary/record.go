package boundary

import (
	"slices"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/held"
	"sallyport/internal/boundary/service"
)

// maxMethod is the longest method, in bytes, that is recorded as it is.
const maxMethod = 20

// noted is what is recorded of a request before anything is decided: without proxy tokens, without any secret that the
// gate holds for whatever service, and without what cannot be a name.
func (p *Pipeline) noted(v *View, x *exchange) {
	clean := func(s string) string { return p.cut(hideTokens(s), x.started, false) }
	e := x.event
	e.Path, e.Service, e.Method = clean(recordedPath(v)), v.Service, v.Method
	e.Workflow, e.Execution, e.Node = clean(first(v.Header, HeaderWorkflow)), clean(first(v.Header, HeaderExecution)),
		clean(first(v.Header, HeaderNode))
	if _, known := p.Services().Lookup(v.Service); !known {
		e.Service = p.name(v.Service)
	}
	if !plainMethod(v.Method) || clean(v.Method) != v.Method {
		e.Method = "…"
	}
	x.event = e
}

// cut takes the secrets that the gate holds out of s. With sure set none is missed that came a moment ago.
func (p *Pipeline) cut(s string, now time.Time, sure bool) string {
	return p.held.Cut(p.Services(), s, now, sure)
}

// name is what a service is called that there is none of: "…" where that can be no name, or looks like a key.
func (p *Pipeline) name(s string) string {
	if s == "" || service.ValidName(s) && held.LookAlikes(s) == s && p.cut(hideTokens(s), p.o.Now(), true) == s {
		return s
	}
	return "…"
}

// plainMethod wants the letters of a method that is a word.
func plainMethod(s string) bool {
	return s != "" && len(s) <= maxMethod && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
	})
}

// strip takes out of the record of a refused request what was not known when it began: a secret that is held since,
// and, where there was no valid token or no such service, whatever looks like a key.
func (p *Pipeline) strip(x *exchange) {
	e := &x.event
	for _, s := range []*string{&e.Path, &e.Workflow, &e.Execution, &e.Node, &x.detail} {
		*s = p.cut(*s, x.started, true)
	}
	if x.grant != nil && x.service != nil {
		return
	}
	for _, s := range []*string{&e.Path, &e.Workflow, &e.Execution, &e.Node} {
		*s = held.LookAlikes(*s)
	}
}

// recordedPath keeps the names of query parameters and hides their values.
func recordedPath(v *View) string {
	if v.RawQuery == "" {
		return v.Path
	}
	return v.Path + "?" + audit.RedactQuery(v.RawQuery)
}

func first(h Header, name string) string {
	if values := h.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

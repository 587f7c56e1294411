package tracing

import (
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"sallyport/internal/audit"
)

// known are the methods that may stand in an attribute (HTTP semantic conventions, http.request.method).
func known(method string) bool {
	switch method {
	case "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "QUERY":
		return true
	}
	return false
}

// methodOf is the first part of a span's name.
func methodOf(ev *audit.Event) string {
	if known(ev.Method) {
		return ev.Method
	}
	return "HTTP"
}

// nameOf has few values: the method and the service.
func nameOf(ev *audit.Event) string { return strings.TrimSuffix(methodOf(ev)+" "+routeOf(ev), " ") }

// routeOf is the template of the path at the gateway.
func routeOf(ev *audit.Event) string {
	if ev.Service == "" {
		return ""
	}
	return "/s/" + ev.Service + "/*"
}

type list []attribute.KeyValue

// text has only UTF-8 in it: protobuf takes nothing else, and a whole batch would not be sent.
func (l *list) text(key, value string) {
	if value != "" {
		*l = append(*l, attribute.String(key, strings.ToValidUTF8(value, "\uFFFD")))
	}
}

func (l *list) whole(key string, value int64) {
	if value != 0 {
		*l = append(*l, attribute.Int64(key, value))
	}
}

func (l *list) method(ev *audit.Event) {
	if known(ev.Method) {
		l.text("http.request.method", ev.Method)
		return
	}
	l.text("http.request.method", "_OTHER")
	l.text("http.request.method_original", ev.Method)
}

// pathOf is the path without its query.
func pathOf(ev *audit.Event) string {
	path, _, _ := strings.Cut(ev.Path, "?")
	return path
}

// serverAttributes are those of the request that the gate got.
func serverAttributes(ev *audit.Event) []attribute.KeyValue {
	var l list
	l.method(ev)
	l.text("url.path", pathOf(ev))
	l.text("http.route", routeOf(ev))
	l.whole("http.response.status_code", int64(ev.Status))
	l.text("error.type", ev.Code)
	if host, port, err := net.SplitHostPort(ev.Source); err == nil {
		l.text("client.address", host)
		if n, err := strconv.Atoi(port); err == nil {
			l.whole("client.port", int64(n))
		}
	} else {
		l.text("client.address", ev.Source)
	}
	for _, one := range []struct{ key, value string }{
		{"sallyport.request.id", ev.ID},
		{"sallyport.service", ev.Service},
		{"sallyport.token", ev.Label},
		{"sallyport.workflow", ev.Workflow},
		{"sallyport.execution", ev.Execution},
		{"sallyport.node", ev.Node},
		{"sallyport.rule", ev.Rule},
		{"sallyport.code", ev.Code},
		{"sallyport.blame", ev.Blame},
	} {
		l.text(one.key, one.value)
	}
	l.whole("sallyport.gate.us", ev.Gate.Microseconds())
	l.whole("sallyport.upstream.us", ev.Upstream.Microseconds())
	return l
}

// clientAttributes are those of a call to the API, the nth of a request.
func clientAttributes(ev *audit.Event, c *call, n int) []attribute.KeyValue {
	var l list
	l.method(ev)
	host, port, err := net.SplitHostPort(ev.Host)
	if err != nil {
		host = ev.Host
	}
	l.text("server.address", host)
	if number, err := strconv.Atoi(port); err == nil {
		l.whole("server.port", int64(number))
	}
	l.text("url.full", c.base+pathOf(ev))
	l.whole("http.response.status_code", int64(c.status))
	l.whole("http.request.resend_count", int64(n))
	switch {
	case c.status >= 400: //nolint:mnd // as the conventions have it
		l.text("error.type", strconv.Itoa(c.status))
	default:
		l.text("error.type", string(c.code))
	}
	l.text("sallyport.request.id", ev.ID)
	l.text("sallyport.service", ev.Service)
	return l
}

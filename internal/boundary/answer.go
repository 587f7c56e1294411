package boundary

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"sallyport/internal/fault"
)

// problem is Sallyport's own response: RFC 9457 with the members of the taxonomy. n8n shows message. The SDKs of AI
// nodes look elsewhere: those of OpenAI and Google at error.message, Anthropic's at message or the whole body.
type problem struct {
	Type      string      `json:"type"`
	Title     string      `json:"title"`
	Status    int         `json:"status"`
	Code      fault.Code  `json:"code"`
	Blame     fault.Blame `json:"blame"`
	Message   string      `json:"message"`
	Hint      string      `json:"hint,omitempty"`
	Service   string      `json:"service,omitempty"`
	RequestID string      `json:"request_id"`
	Error     sdkError    `json:"error"`
}

// sdkError is the problem once more, in the shape that the APIs of language models gave their errors.
type sdkError struct {
	Message string `json:"message"`
	// none of the API's types: whoever branches on those must not take the gate for the API
	Type string     `json:"type"`
	Code fault.Code `json:"code"`
}

// answer writes f to the caller: problem+json, and the header fields that go with its code.
func (x *exchange) answer(w http.ResponseWriter, f *fault.Fault) {
	row := ownRow(f)
	x.code, x.detail, x.status = f.Code, f.Message, row.Status
	sentence := x.sentence(f)
	body := problem{
		Type: "urn:sallyport:error:" + string(f.Code), Title: row.Meaning, Status: row.Status,
		Code: f.Code, Blame: row.Blame, Message: sentence, Hint: f.Hint, RequestID: x.event.ID,
		Error: sdkError{Message: sentence, Type: "sallyport_error", Code: f.Code},
	}
	if x.service != nil {
		body.Service = x.service.Name
	}
	h := w.Header()
	clear(h)
	h["Content-Type"] = []string{"application/problem+json"}
	h["Cache-Control"] = []string{"no-store"}
	h["Proxy-Status"] = []string{proxyStatus(row.ProxyError, f.Details)}
	h[headerRequestID] = []string{x.event.ID}
	if f.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(int(max(1, f.RetryAfter.Seconds())))}
	}
	switch row.Status { // each wants its challenge (RFC 9110 sections 15.5.2 and 15.5.8)
	case http.StatusProxyAuthRequired:
		h["Proxy-Authenticate"] = []string{`Bearer realm="sallyport"`}
	case http.StatusUnauthorized:
		h["Www-Authenticate"] = []string{`Bearer realm="sallyport"`}
	}
	if f.Code == fault.Draining || f.Code == fault.RequestTimeout {
		h["Connection"] = []string{"close"}
	}
	out := encode(body)
	if x.material != nil {
		x.material.Forms().Bytes(out) // a sentence may name a host that the API chose
	} else if x.service != nil {
		if known := x.service.Credential.Known(); known != nil {
			known.Bytes(out) // or what a token endpoint called its refusal
		}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(out))}
	if x.body != nil {
		x.body.Settle()
	}
	w.WriteHeader(row.Status)
	n, _ := w.Write(out)
	x.bytesOut += int64(n)
}

// ownRow is f's line of the taxonomy for a response of Sallyport's own: also of what the API says otherwise, and of
// which the status is the API's then, as where no credential is left to call it with.
func ownRow(f *fault.Fault) fault.Row {
	row := f.Row()
	row.Status = f.Status()
	if row.Status == 0 {
		row.Status, row.ProxyError = http.StatusServiceUnavailable, "proxy_configuration_error"
	}
	return row
}

// encode writes JSON with < and > as they are: the body is never HTML, and a person reads it.
func encode(body problem) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return []byte(`{"code":"internal"}`)
	}
	return b.Bytes()
}

// sentence begins with the party: n8n's user must see at a glance whether the API or Sallyport speaks.
func (x *exchange) sentence(f *fault.Fault) string {
	switch f.Row().Blame {
	case fault.BlameUpstream:
		return "The API behind " + strconv.Quote(x.service.Name) + " failed, Sallyport did not: " + f.Message
	case fault.BlameCredential:
		return "Sallyport has no usable credential for " + strconv.Quote(x.service.Name) + ": " + f.Message
	case fault.BlameCaller:
		return "Sallyport refused the request: " + f.Message
	default:
		if x.left {
			return "Sallyport failed, the API may have been called: " + f.Message
		}
		return "Sallyport failed, the API was not called: " + f.Message
	}
}

// proxyStatus is RFC 9209 section 2 for a response of our own.
func proxyStatus(errorType, details string) string {
	s := "sallyport"
	if errorType != "" {
		s += "; error=" + errorType
	}
	if details != "" {
		s += "; details=" + sfString(details)
	}
	return s
}

// sfString is a Structured Fields string (RFC 8941 section 3.3.3).
func sfString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// receivedStatus is Proxy-Status for a response of the API: it says so, whatever the status.
func receivedStatus(status int) string {
	if status == http.StatusOK {
		return "sallyport; received-status=200"
	}
	return "sallyport; received-status=" + strconv.Itoa(status)
}

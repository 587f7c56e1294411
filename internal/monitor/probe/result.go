package probe

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/boundary/inside"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/nesting"
)

// Verdict is what a probe has shown.
type Verdict string

// The verdicts.
const (
	Works      Verdict = "works"        // the API gave an expected status
	Refused    Verdict = "refused"      // 401: the API did not take the credential
	Unexpected Verdict = "unexpected"   // another status below 500
	Limited    Verdict = "limited"      // 429: the API wants fewer calls; it says nothing of the credential
	Down       Verdict = "down"         // the API cannot be reached, or answers with 5xx
	NoKey      Verdict = "no key"       // there was no credential to call with
	NotMade    Verdict = "not made"     // the gate did not let the call out: limits, its audit log, its own faults
	maxBody            = 1 << 20        // bytes of a body that are read for when the credential expires
	maxText            = 512            // bytes of a message that are kept
	maxWait            = 24 * time.Hour // of Retry-After
)

// Result is the outcome of one probe. It has nothing that is secret, and nothing of the API's but numbers.
type Result struct {
	At       time.Time     `json:"at"`
	Verdict  Verdict       `json:"verdict"`
	Status   int           `json:"status,omitempty"` // of the API's response
	Code     fault.Code    `json:"code,omitempty"`   // where there is none
	Message  string        `json:"message,omitempty"`
	Took     time.Duration `json:"took_ns"`
	Expires  time.Time     `json:"expires,omitzero"` // the credential, as the API says
	Failures int           `json:"failures,omitempty"`
	From     string        `json:"from"` // the replica that made it

	retryAfter time.Duration
}

// Up tells whether the API answers; known is false where the probe has not shown it.
func (r *Result) Up() (up, known bool) {
	switch r.Verdict {
	case Works, Refused, Unexpected, Limited:
		return true, true
	case Down:
		return false, true
	case NoKey, NotMade:
	}
	return false, false
}

// Told tells whether the probe has shown whether the service works, and whether it does. An API that wants fewer calls
// leaves open what was known before.
func (r *Result) Told() (works, known bool) {
	return r.Verdict == Works, r.Verdict != Limited && r.Verdict != NotMade
}

// judged is the Result of a call. It reads the body, and closes it.
func judged(p *config.Probe, resp *http.Response, err error, now time.Time) Result {
	if err != nil {
		return failed(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := Result{Status: resp.StatusCode, retryAfter: retryAfter(resp.Header, now)}
	switch {
	case slices.Contains(p.Status, resp.StatusCode), len(p.Status) == 0 && resp.StatusCode == http.StatusOK:
		r.Verdict, r.Expires = Works, expires(p.Expires, resp)
	case resp.StatusCode == http.StatusUnauthorized:
		r.Verdict, r.Message = Refused, "the API refused the credential"
	case resp.StatusCode == http.StatusTooManyRequests:
		r.Verdict, r.Message = Limited, "the API wants fewer calls"
	case resp.StatusCode >= http.StatusInternalServerError:
		r.Verdict, r.Message = Down, "the API fails"
	default:
		r.Verdict = Unexpected
		r.Message = "the API responds, but not as the service's test expects"
	}
	return r
}

func failed(err error) Result {
	r := Result{Verdict: NotMade, Code: fault.Internal, Message: err.Error()}
	own, ok := errors.AsType[*inside.Error](err)
	if !ok {
		return r.bounded()
	}
	r.Code, r.Message = own.Code, own.Message
	switch fault.Lookup(own.Code).Blame {
	case fault.BlameUpstream:
		r.Verdict = Down
	case fault.BlameCredential:
		r.Verdict = NoKey
	default:
	}
	return r.bounded()
}

func (r Result) bounded() Result {
	r.Message = strings.ToValidUTF8(r.Message[:min(len(r.Message), maxText)], "")
	return r
}

// retryAfter is what a Retry-After header asks for (RFC 9110, section 10.2.3), within bounds; 0 is nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxWait/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxWait)
}

// expires is when the credential expires, as the response says; the zero Time if it does not.
func expires(e config.Expires, resp *http.Response) time.Time {
	switch {
	case e.Header != "":
		return moment(resp.Header.Get(e.Header))
	case e.Pointer == "":
		return time.Time{}
	}
	p, err := jsonpointer.Parse(e.Pointer)
	if err != nil {
		return time.Time{}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil || len(body) > maxBody || nesting.Check(body) != nil {
		return time.Time{}
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	var doc any
	if decoder.Decode(&doc) != nil {
		return time.Time{}
	}
	switch found, _ := p.In(doc); v := found.(type) {
	case string:
		return moment(v)
	case json.Number:
		return moment(v.String())
	}
	return time.Time{}
}

// moment reads a date, a date with a time, or Unix time in seconds or milliseconds. What is none of these, or is beyond
// any credential's life, is the zero Time.
func moment(text string) time.Time {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n > 1e11 { // as seconds, the year 5138
			return sane(time.UnixMilli(n))
		}
		return sane(time.Unix(n, 0))
	}
	for _, form := range []string{
		time.RFC3339, time.DateOnly, "2006-01-02T15:04:05", "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05 MST",
		"2006-01-02 15:04:05 -0700", time.DateTime, http.TimeFormat,
	} {
		if at, err := time.Parse(form, text); err == nil {
			return sane(at)
		}
	}
	return time.Time{}
}

func sane(at time.Time) time.Time {
	if at.Year() < 2000 || at.Year() > 9999 {
		return time.Time{}
	}
	return at.UTC()
}

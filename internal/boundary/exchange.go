package boundary

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
)

// exchange is one request on its way. Its parts are written at different times and by different rooms: decision by
// steps 1 to 4 alone, admission when it is granted and given back, result by steps 5 to 7.
type exchange struct {
	entry
	decision
	admission
	result

	started time.Time
	event   audit.Event // what is on record of it
	body    Body        // nil: the request has none
	// goes onto the request: that of step 3, and a newer one once the API said that it has expired
	material *credential.Material

	// the body is on its way, and nobody looks at it for another method: every one is permitted
	unseen    atomic.Bool
	unguarded bool                        // nobody has looked at it so
	broken    atomic.Pointer[fault.Panic] // in a goroutine of the transport
}

// result is what became of a request that was decided about, and what it cost.
type result struct {
	left      bool       // a connection to the API was taken for it: the credential may have left
	bare      bool       // the answer is to a request without the credential
	expired   bool       // the answer says that the credential has expired
	renewed   bool       // there was such an answer, and the credential is a newer one now
	replayed  bool       // the request was sent twice
	notResent bool       // it should have been, and could not
	code      fault.Code // "" is success
	detail    string
	status    int
	upstream  time.Duration // waiting for the API
	client    time.Duration // waiting for the caller to take bytes
	bytesIn   atomic.Int64  // the transport may still read the body when the answer is through
	bytesOut  int64
	scrubbed  int
}

// begin is what Handle does before it can recover: it calls nothing that may panic. What is on record of a request that
// ends in a panic right after is when it came, and from where.
func (p *Pipeline) begin(v *View) *exchange {
	x := &exchange{started: p.o.Now()}
	x.view = v
	x.event = audit.Event{Time: x.started, ID: p.ids.next(), Source: v.Source.String()}
	p.inFlight.Add(1)
	return x
}

// note puts down what was asked for.
func (p *Pipeline) note(v *View, x *exchange) {
	defer p.begun(x) // also in a panic: it will be counted as finished
	p.noted(v, x)
}

// recordedPath keeps the names of query parameters and hides their values.
func recordedPath(v *View) string {
	if v.RawQuery == "" {
		return v.Path
	}
	return v.Path + "?" + audit.RedactQuery(v.RawQuery)
}

// hideTokens cuts whatever looks like a proxy token out of what a caller sent, before it is recorded.
func hideTokens(s string) string {
	for from := 0; ; {
		i := strings.Index(s[from:], tokenPrefix)
		if i < 0 {
			return s
		}
		i += from + len(tokenPrefix)
		end := i
		for end < len(s) && isTokenByte(s[end]) {
			end++
		}
		s, from = s[:i]+"…"+s[end:], i
	}
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// mask takes the service's own secret out of what the caller sent: it may know it and have put it there.
func (x *exchange) mask(forms *scrub.Set) {
	for _, s := range []*string{&x.event.Method, &x.event.Path, &x.event.Workflow, &x.event.Execution, &x.event.Node} {
		*s, _ = forms.String(*s)
	}
}

// maskLate is mask for what decide did not come to: all of it for a request that got no credential, since the one it
// would have got must not be on record either, and otherwise the detail, which may name a host that the API chose.
func (x *exchange) maskLate() {
	switch {
	case x.material != nil:
		x.detail, _ = x.material.Forms().String(x.detail)
	case x.service != nil:
		if known := x.service.Credential.Known(); known != nil {
			x.mask(known)
			x.detail, _ = known.String(x.detail)
		}
	}
}

// printable wants visible ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}

func first(h Header, name string) string {
	if values := h.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// finish writes the last record and counts, however the request ended.
func (p *Pipeline) finish(x *exchange) {
	p.release(x)
	p.inFlight.Add(-1)
	total := p.o.Now().Sub(x.started)
	if x.status == 0 && x.code == "" { // nothing was answered: a panic is on its way
		x.code = fault.Internal
	}
	p.hide(x)
	x.event.Time = x.started.Add(total)
	x.event.Gate, x.event.Upstream = max(0, total-x.upstream-x.client), x.upstream
	x.event.Status, x.event.Code, x.event.Detail = x.status, string(x.code), x.detail
	x.event.BytesIn, x.event.BytesOut, x.event.Scrubbed = x.bytesIn.Load(), x.bytesOut, x.scrubbed
	if x.code != "" {
		x.event.Blame = string(fault.Lookup(x.code).Blame)
	}
	p.record(x)
	o := Outcome{
		Code: x.code, Status: x.status, Gate: x.event.Gate, Upstream: x.upstream,
		BytesIn: x.event.BytesIn, BytesOut: x.bytesOut, Scrubbed: x.scrubbed,
		Renewed: x.renewed, Replayed: x.replayed, NotResent: x.notResent,
	}
	if x.service != nil {
		o.Service = x.service.Name
	}
	p.count(x, &o)
}

// idGenerator makes request ids: unique over processes by a random prefix, over requests by a counter. They need not be
// secret.
type idGenerator struct {
	prefix string
	n      atomic.Uint64
}

func newIDGenerator() *idGenerator {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return &idGenerator{prefix: strings.ToLower(base32.StdEncoding.EncodeToString(b[:])) + "-"}
}

func (s *idGenerator) next() string { return s.prefix + strconv.FormatUint(s.n.Add(1), 36) }

package boundary

import (
	"log/slog"
	"sync/atomic"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
)

// exchange is one request on its way. Its parts are written at different times and by different rooms: decision by
// steps 1 to 4 alone, admission when it is granted and given back, entry while others may end it, result by steps 5 to
// 7.
type exchange struct {
	entry
	decision
	admission
	result

	event audit.Event // what is on record of it
	trace Trace       // nil: none
	body  Body        // nil: the request has none
	// goes onto the request: that of step 3, and a newer one once the API said that it has expired
	material *credential.Material

	broken atomic.Pointer[fault.Panic] // in a goroutine of the transport
}

// result is what became of a request that was decided about, and what it cost.
type result struct {
	left      bool       // a connection to the API was taken for it: the credential may have left
	bare      bool       // the response is to a request without the credential
	expired   bool       // the response says that the credential has expired
	renewed   bool       // there was such a response, and the credential is a newer one now
	replayed  bool       // the request was sent twice
	notResent bool       // it should have been, and could not
	code      fault.Code // "" is success
	detail    string
	status    int
	upstream  time.Duration // waiting for the API
	client    time.Duration // waiting for the caller to take bytes
	bytesIn   atomic.Int64  // the transport may still read the body when the response is through
	bytesOut  int64
	scrubbed  int
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

// clientError marks a failure of the caller's side.
type clientError struct{ error }

func (e clientError) Unwrap() error { return e.error }

// logged is the process's log with the ids of the request: those that the record, the response and the trace have.
func (x *exchange) logged(to *slog.Logger) *slog.Logger {
	to = to.With("request_id", x.event.ID)
	if x.event.Trace != "" {
		to = to.With("trace_id", x.event.Trace)
	}
	return to
}

package boundary

import (
	"cmp"

	"sallyport/internal/fault"
)

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
	p.endTrace(x, &o)
	p.count(x, &o)
}

// finishBody lets nobody read the request any more, and tells of a panic in whoever did.
func (p *Pipeline) finishBody(v *View, x *exchange) {
	reading := x.broken.Load()
	if v.Body != nil {
		v.Body.Finish() // the way in looks at the result
		reading = cmp.Or(v.Body.Broken(), x.broken.Load())
	}
	if reading != nil {
		p.panicked(x, reading)
		if x.code == "" {
			x.code, x.detail = fault.Internal, reading.Error()
		}
	}
}

// release gives back what the request held.
func (p *Pipeline) release(x *exchange) {
	defer p.survive(x, "giving back what a request held")
	x.release(x.service)
}

// hide is maskLate. What could not be masked is not recorded.
func (p *Pipeline) hide(x *exchange) {
	defer p.survive(x, "masking a record")
	masked := false
	defer func() {
		if !masked {
			e := &x.event
			e.Method, e.Path, e.Workflow, e.Execution, e.Node, x.detail = "", "", "", "", "",
				"this record could not be masked"
		}
	}()
	x.maskLate()
	if !x.authorised {
		p.strip(x)
	}
	masked = true
}

func (p *Pipeline) record(x *exchange) {
	defer p.survive(x, "recording a request")
	if x.authorised {
		p.o.Audit.Complete(&x.event)
	} else {
		p.o.Audit.Refuse(&x.event)
	}
}

func (p *Pipeline) count(x *exchange, o *Outcome) {
	defer p.survive(x, "counting a request")
	p.o.Observer.Finished(o)
}

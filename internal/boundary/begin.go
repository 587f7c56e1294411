package boundary

import "sallyport/internal/audit"

// begin is what Handle does before it can recover: it calls nothing that may panic. What is on record of a request that
// ends in a panic right after is when it came, and from where.
func (p *Pipeline) begin(v *View) *exchange {
	x := new(exchange)
	x.started, x.view = p.o.Now(), v
	x.event = audit.Event{Time: x.started, ID: p.ids.next(), Source: v.Source.String()}
	p.inFlight.Add(1)
	return x
}

// note puts down what was asked for.
func (p *Pipeline) note(v *View, x *exchange) {
	defer p.begun(x) // also in a panic: it will be counted as finished
	p.noted(v, x)
}

func (p *Pipeline) begun(x *exchange) {
	defer p.survive(x, "counting a request")
	p.o.Observer.Started(x.event.Service)
}

package boundary

import (
	"context"
	"encoding/json"
	"net/http"

	"sallyport/internal/fault"
)

// Whoami is the response to a valid token: who the caller is.
type Whoami struct {
	Token      string `json:"token"` // its id
	Name       string `json:"name"`
	Generation int    `json:"generation"`
}

// ElsewhereDetails is what Proxy-Status says in the details of the one refusal of /whoami that proves a token: it is
// known and valid, and came from an address that its scope does not name. No other refusal of the gate has these
// details.
const ElsewhereDetails = "valid token from an address outside its scope"

// HandleWhoami is step 1, and of step 2 what needs no service: where the token may come from. It shows that a token
// works through this very listener without calling an API, which is how a rotation tests the next one. It is on record
// like any other request.
func (p *Pipeline) HandleWhoami(ctx context.Context, w http.ResponseWriter, v *View) {
	x := p.begin(v)
	defer p.finish(x)
	defer p.finishBody(v, x)
	x.body = v.Body
	if f := p.whoami(ctx, x); f != nil {
		p.refuse(w, x, f)
		return
	}
	if v.Body != nil {
		v.Body.Settle()
	}
	x.status = http.StatusOK
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set(headerRequestID, x.event.ID)
	_ = json.NewEncoder(w).Encode(Whoami{Token: x.grant.ID, Name: x.grant.Name, Generation: x.grant.Number})
}

func (p *Pipeline) whoami(ctx context.Context, x *exchange) *fault.Fault {
	if f := p.admit(x.view); f != nil {
		return f
	}
	if f := p.authenticate(x, nil); f != nil {
		return f
	}
	x.event.Rule = "whoami"
	if ok, why := p.config.Load().Scopes.Of(x.grant).AllowsFrom(x.view.Source); !ok {
		return fault.New(fault.RequestDenied, why).WithDetails(ElsewhereDetails).WithHint(scopeHint)
	}
	return p.permit(ctx, x)
}

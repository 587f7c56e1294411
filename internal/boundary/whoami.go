package boundary

import (
	"encoding/json"
	"net/http"

	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// Whoami is the answer to a valid token: who the caller is.
type Whoami struct {
	Token      string `json:"token"` // its id
	Name       string `json:"name"`
	Generation int    `json:"generation"`
}

// HandleWhoami is step 1 alone. It shows that a token works through this very listener without calling an API, which is how a
// rotation tests the next one. A refusal is recorded like any other.
func (p *Pipeline) HandleWhoami(w http.ResponseWriter, v *View) {
	g, f := p.whoami(v)
	if f != nil {
		x := p.begin(v)
		x.body = v.Body
		defer p.finish(x)
		p.refuse(w, x, f)
		return
	}
	if v.Body != nil {
		v.Body.Settle()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(Whoami{Token: g.ID, Name: g.Name, Generation: g.Number})
}

func (p *Pipeline) whoami(v *View) (*token.Grant, *fault.Fault) {
	if f := p.admit(v); f != nil {
		return nil, f
	}
	found := find(v, defaultSlots)
	return p.verify(&found)
}

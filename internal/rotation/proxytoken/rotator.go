// Package proxytoken rotates proxy tokens as the configuration says: when, with what overlap, and where the new value
// is written.
//
// It gives package rotation what that needs: the generations of the token registry, n8n as the consumer, and a probe
// that calls the gate as n8n would. Nothing is written into n8n before every replica accepts the new value.
package proxytoken

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"
)

// DefaultOverlap is how long the old generation stays valid when nothing says otherwise.
const DefaultOverlap = time.Hour

// Rotation asks for one rotation of a token.
type Rotation struct {
	Name    string
	Overlap time.Duration // 0: as configured, or DefaultOverlap
	PushN8N bool          // write the new value into n8n, as configured
}

// Unconfirmed is implemented by errors of Rotator.Changed after which the change is made, but not every replica was
// seen to act by it.
type Unconfirmed interface{ Unconfirmed() bool }

// Rotator rotates the proxy tokens of a configuration.
type Rotator struct {
	Config  *config.Config
	Tokens  *token.Registry
	Journal *rotation.Journal
	// Resolve reads the secret that a reference names.
	Resolve func(ctx context.Context, ref secret.Ref) (secret.Value, string, error)
	// Changed has all replicas act by a change of the tokens. Errors: Unconfirmed.
	Changed func(ctx context.Context) error
	// Tell has the gate that runs here act by a change of the tokens.
	Tell func(ctx context.Context) error
	// Gateway says where the gate that runs here listens. An error says that none does.
	Gateway func(ctx context.Context) (*url.URL, error)
	// TLS trusts what the gate's own listener shows, under a name that it shows.
	TLS func() (*tls.Config, error)
}

// Rotate rotates a token. Commands and the schedule come here. An Unconfirmed error beside a result tells that it is
// done, but that not every replica was seen to act by it.
func (r *Rotator) Rotate(ctx context.Context, o Rotation) (rotation.Result, error) {
	plan, err := r.plan(ctx, o)
	if err != nil {
		return rotation.Result{}, err
	}
	g := &generations{r: r, pushes: plan.Consumer != nil}
	result, err := r.rotations(g).Run(ctx, plan)
	if err != nil {
		return result, err
	}
	return result, g.unconfirmed
}

// Abort drops the unfinished rotation of a token. An Unconfirmed error tells that it is done all the same.
func (r *Rotator) Abort(ctx context.Context, name string) error {
	g := &generations{r: r}
	if err := r.rotations(g).Abort(ctx, name); err != nil {
		return err
	}
	return g.unconfirmed
}

// Rotations are the rotations on record, for who looks at them.
func (r *Rotator) Rotations() *rotation.Runner { return r.rotations(&generations{r: r}) }

func (r *Rotator) rotations(g *generations) *rotation.Runner {
	return &rotation.Runner{Tokens: g, Journal: r.Journal}
}

func (r *Rotator) plan(ctx context.Context, o Rotation) (rotation.Plan, error) {
	p := rotation.Plan{Name: o.Name, Overlap: o.Overlap}
	c := r.Config.Tokens[o.Name]
	if c != nil && c.Rotate != nil && p.Overlap == 0 {
		p.Overlap = c.Rotate.Overlap
	}
	if p.Overlap == 0 {
		p.Overlap = DefaultOverlap
	}
	if !o.PushN8N {
		return p, nil
	}
	if c == nil || c.Rotate == nil || c.Rotate.Push == nil || c.Rotate.Push.N8N == nil {
		return p, fault.WithHint(fmt.Errorf("rotating token %q: nothing says where n8n is", o.Name),
			"set tokens."+o.Name+".rotate.push.n8n in sallyport.yaml, see docs/n8n-setup.md")
	}
	push := c.Rotate.Push.N8N
	gate, err := r.gateOf(ctx, push)
	if err != nil {
		return p, fmt.Errorf("rotating token %q: %w", o.Name, err)
	}
	consumer, err := r.n8n(ctx, push, gate.Hostname())
	if err != nil {
		return p, fmt.Errorf("rotating token %q: %w", o.Name, err)
	}
	p.Consumer = consumer
	p.Probe, err = r.probe(gate, push.Gate == nil)
	return p, err
}

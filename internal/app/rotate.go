package app

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/rotation"
)

// DefaultOverlap is how long the old generation stays valid when nothing says otherwise.
const DefaultOverlap = time.Hour

// Rotation asks for one rotation of a token.
type Rotation struct {
	Name    string
	Overlap time.Duration // 0: as configured, or DefaultOverlap
	PushN8N bool          // write the new value into n8n, as configured
	Actor   string        // for the audit log
}

// Rotate rotates a token. Commands and the schedule come here. An UnconfirmedError beside a result tells that it is done, but that
// not every replica was seen to act by it.
func (s *State) Rotate(ctx context.Context, r Rotation) (rotation.Result, error) {
	plan, err := s.plan(ctx, r)
	if err != nil {
		return rotation.Result{}, err
	}
	g := &generations{s: s, pushes: plan.Consumer != nil}
	result, err := s.rotations(g).Run(ctx, plan)
	if err != nil {
		return result, err
	}
	return result, g.unconfirmed
}

// AbortRotation drops the unfinished rotation of a token. An UnconfirmedError tells that it is done all the same.
func (s *State) AbortRotation(ctx context.Context, name string) error {
	g := &generations{s: s}
	if err := s.rotations(g).Abort(ctx, name); err != nil {
		return err
	}
	return g.unconfirmed
}

// Rotations are the rotations on this state, for who looks at them.
func (s *State) Rotations() *rotation.Runner { return s.rotations(&generations{s: s}) }

func (s *State) rotations(g *generations) *rotation.Runner {
	return &rotation.Runner{
		Tokens:  g,
		Journal: &rotation.Journal{DB: s.DB, Sealer: s.sealer, Now: time.Now, Ledger: s.journal},
	}
}

func (s *State) plan(ctx context.Context, r Rotation) (rotation.Plan, error) {
	p := rotation.Plan{Name: r.Name, Overlap: r.Overlap}
	c := s.Config.Tokens[r.Name]
	if c != nil && c.Rotate != nil && p.Overlap == 0 {
		p.Overlap = c.Rotate.Overlap
	}
	if p.Overlap == 0 {
		p.Overlap = DefaultOverlap
	}
	if !r.PushN8N {
		return p, nil
	}
	if c == nil || c.Rotate == nil || c.Rotate.Push == nil || c.Rotate.Push.N8N == nil {
		return p, fault.WithHint(fmt.Errorf("rotating token %q: nothing says where n8n is", r.Name),
			"set tokens."+r.Name+".rotate.push.n8n in sallyport.yaml, see docs/n8n-setup.md")
	}
	push := c.Rotate.Push.N8N
	gate, err := s.gateOf(ctx, push)
	if err != nil {
		return p, fmt.Errorf("rotating token %q: %w", r.Name, err)
	}
	consumer, err := s.n8n(ctx, push, gate.Hostname())
	if err != nil {
		return p, fmt.Errorf("rotating token %q: %w", r.Name, err)
	}
	p.Consumer = consumer
	p.Probe, err = s.probe(gate, push.Gate == nil)
	return p, err
}

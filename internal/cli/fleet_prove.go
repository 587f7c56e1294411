package cli

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// proveTime is how long one node has for its answer.
const proveTime = 30 * time.Second

// keyProver proves that nodes have a master key. It implements fleet.Prover.
type keyProver struct {
	ref      *nodes.Reference
	question nodes.Question
}

func (e *env) keyProver(ctx context.Context, keyFile, binary string) (*keyProver, error) {
	asked := keyFleet{keyFile: keyFile, binary: binary}
	nonce := masterkey.NewNonce()
	ref, err := e.fleetReference(ctx, &asked, nonce)
	if err != nil {
		return nil, err
	}
	return &keyProver{ref, nodes.Question{Nonce: nonce, Binary: binary, Timeout: proveTime}}, nil
}

// valueProver proves that nodes have this key; from says what it is.
func valueProver(key secret.Value, from, binary string) (*keyProver, error) {
	nonce := masterkey.NewNonce()
	l := masterkey.Inspect(only(map[string]string{environment.KeyName: string(key.Reveal())}), nonce)
	used, has := l.Used()
	if !has {
		return nil, fmt.Errorf("reading %s: it is no key", from)
	}
	return &keyProver{
		&nodes.Reference{From: from, Fingerprint: used.Fingerprint, Low: used.Low},
		nodes.Question{Nonce: nonce, Binary: binary, Timeout: proveTime},
	}, nil
}

// Prove implements fleet.Prover.
func (p *keyProver) Prove(ctx context.Context, u fleet.Unit) error {
	var all []nodes.Node
	for _, n := range u.Nodes {
		if n.Way == "" {
			return fault.WithHint(fmt.Errorf("nothing says how to ask node %s for its key", n.Name),
				"name it: `node` beside a unit of kind command")
		}
		node, err := nodes.ParseNode(n.Name+"="+n.Way, nodes.Agents{})
		if err != nil {
			return err
		}
		all = append(all, node)
	}
	const atOnce = 8
	return nodes.Compare(p.question.Nonce, nodes.AskAll(ctx, all, p.question, atOnce), p.ref).Fault()
}

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/program"
	"sallyport/internal/secret"
)

// proveTime is how long one node has for its answer.
const proveTime = 30 * time.Second

// keyProver proves that nodes have a master key. It implements fleet.Prover.
type keyProver struct {
	ref      *nodes.Reference
	question nodes.Question
	agents   nodes.Agents
}

// proofFlags say how the nodes of a fleet are asked.
func proofFlags(f *pflag.FlagSet, k *keyFleet, with string) {
	f.StringVar(&k.binary, "remote-binary", "sallyport", with+"where sallyport lies in the nodes")
	f.StringVar(&k.tokenFile, "agent-token-file", "", with+"file with the token of the agents, for nodes that have one")
	f.StringVar(&k.caFile, "agent-ca", "",
		with+"file with the CA of the agents' certificates, PEM (default: the system's)")
}

// keyProver proves that nodes have the key of asked.keyFile.
func (e *env) keyProver(ctx context.Context, asked *keyFleet) (*keyProver, error) {
	nonce := masterkey.NewNonce()
	if err := asked.checkBinary(); err != nil {
		return nil, err
	}
	agents, err := asked.agents()
	if err != nil {
		return nil, err
	}
	ref, err := e.fleetReference(ctx, asked, nonce)
	if err != nil {
		return nil, err
	}
	return &keyProver{ref, nodes.Question{Nonce: nonce, Binary: asked.binary, Timeout: proveTime}, agents}, nil
}

// valueProver proves that nodes have this key; from says what it is.
func valueProver(key secret.Value, from string, asked *keyFleet) (*keyProver, error) {
	if err := asked.checkBinary(); err != nil {
		return nil, err
	}
	agents, err := asked.agents()
	if err != nil {
		return nil, err
	}
	nonce := masterkey.NewNonce()
	l := masterkey.Inspect(only(map[string]string{environment.KeyName: string(key.Reveal())}), nonce)
	used, has := l.Used()
	if !has {
		return nil, fmt.Errorf("reading %s: it is no key", from)
	}
	ref := &nodes.Reference{From: from, Fingerprint: used.Fingerprint, Low: used.Low}
	return &keyProver{ref, nodes.Question{Nonce: nonce, Binary: asked.binary, Timeout: proveTime}, agents}, nil
}

// canAsk refuses a fleet with nodes that nothing could ever ask, before any of them is restarted.
func (p *keyProver) canAsk(units []fleet.Unit) error {
	for _, u := range units {
		for _, n := range u.Nodes {
			asker, err := p.asker(n)
			if no, none := asker.(noWay); none && n.Ready && n.Away == nil {
				err = fmt.Errorf("unit %q: %w", u.Name, no.err)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Prove implements fleet.Prover.
func (p *keyProver) Prove(ctx context.Context, u fleet.Unit) error {
	if len(u.Nodes) == 0 {
		return fault.WithHint(fmt.Errorf("unit %q has no node that could be asked for its key", u.Name),
			"see what runs it: `sallyport fleet list`")
	}
	var all []nodes.Node
	for _, n := range u.Nodes {
		asker, err := p.asker(n)
		if err != nil {
			return err
		}
		all = append(all, nodes.Node{Name: program.Clean(n.Name), Asker: asker})
	}
	const atOnce = 8
	report := nodes.Compare(p.question.Nonce, nodes.AskAll(ctx, all, p.question, atOnce), p.ref)
	if err := ctx.Err(); err != nil {
		return err
	}
	if report.Exit == fault.ExitFindings {
		return nil // each has the key; that it is too short for example, the restart has not made so
	}
	return notProved(report)
}

// asker is the way to a node, or one that says why there is none: the others are asked all the same, since one that has
// another key is worse than one that is not known.
func (p *keyProver) asker(n fleet.Node) (nodes.Asker, error) {
	switch {
	case n.Away != nil:
		return noWay{p.elsewhere(*n.Away)}, nil
	case n.Way == "":
		return noWay{fault.WithHint(errors.New("could not look: nothing says how to ask it for its key"),
			"name it: `node` beside a unit of kind command; a container that has not begun has no way yet")}, nil
	}
	asker, err := nodes.ParseWay(string(n.Way), p.agents)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("asking node %q for its key: %w", program.Clean(n.Name), err),
			cmp.Or(fault.HintOf(err), "`node` of the unit says how key verify --node reaches it"))
	}
	return asker, nil
}

// elsewhere is why a node could not be asked, and what a person can run instead.
func (p *keyProver) elsewhere(a fleet.Away) error {
	where := "it runs on a machine that is not known"
	if a.Machine != "" {
		where = fmt.Sprintf("it runs on %q", a.Machine)
	}
	run := ""
	if a.Inside != "" {
		run = fmt.Sprintf("run `%s %s key verify --local --nonce %s --expect %s` there, which ends with 0 when it is "+
			"right; ", a.Inside, p.question.Binary, p.question.Nonce, p.ref.Fingerprint)
	}
	return fault.WithHint(errors.New("could not look: "+where), run+a.Hint)
}

// noWay is an asker that cannot ask.
type noWay struct{ err error }

// Way implements nodes.Asker.
func (noWay) Way() string { return "none" }

// Ask implements nodes.Asker.
func (n noWay) Ask(context.Context, nodes.Question) (masterkey.Local, error) {
	return masterkey.Local{}, n.err
}

// notProved is what a report says as one error, which names each node that is not right, or nil.
func notProved(r nodes.Report) error {
	err := r.Fault()
	if err == nil {
		return nil
	}
	var whats, hints []string
	say := func(what, hint string) {
		whats = append(whats, what)
		if hint != "" && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	for _, row := range r.Nodes {
		if row.Error != "" {
			say(row.Name+": "+row.Error, row.Hint)
		}
		for _, f := range row.Findings {
			if f.Severity == nodes.Wrong {
				say(row.Name+" "+f.What, f.Todo)
			}
		}
	}
	if len(whats) == 0 {
		return err
	}
	return fault.WithExit(fault.WithHint(errors.New(strings.Join(whats, "; ")), strings.Join(hints, "; ")), r.Exit)
}

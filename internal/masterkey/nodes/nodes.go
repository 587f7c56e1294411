// Package nodes asks every node of a fleet for its master key's fingerprint under one nonce, and compares what they
// say.
//
// A node is asked by running `sallyport key verify --local` inside it (docker, kubectl, nomad, or any command), by
// calling an agent that runs there, or by reading a file that it has written. What is right is the database's to say:
// package survey proves a key there, and a Reference carries its fingerprint here.
//
// Invariant: no key comes here from a node. What a node says is an outsider's text: it is checked, cleaned, and cut.
package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/masterkey"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/program"
)

// Question is what all nodes are asked.
type Question struct {
	Nonce    string
	Workflow string        // one that each node is to execute; "" for none
	Binary   string        // where sallyport lies in the nodes: a path, or a name on PATH
	Timeout  time.Duration // for one node's answer
}

// Asker is a way to a node. Ask returns what the node says, as it said it; its errors carry a hint, and quote at most
// one clean line of what a program wrote to its standard error. It may be called concurrently.
type Asker interface {
	Ask(ctx context.Context, q Question) (masterkey.Local, error)
	// Way names the way for people: "docker", "agent".
	Way() string
}

// Node is an n8n process, or the container that it is in.
type Node struct {
	Name  string
	Asker Asker
}

// Answer is what became of asking a node.
type Answer struct {
	Node  Node
	Local masterkey.Local
	Err   error
}

// AskAll asks the nodes, at most parallel of them at once, and returns their answers in the same order.
func AskAll(ctx context.Context, all []Node, q Question, parallel int) []Answer {
	const asking = "asking a node"
	answers := make([]Answer, len(all))
	free := make(chan struct{}, max(parallel, 1))
	var asked guard.Group
	for i, node := range all {
		free <- struct{}{}
		asked.Go(asking, func() {
			defer func() { <-free }()
			if why := guard.Call(asking, func() { answers[i] = ask(ctx, node, q) }); why != nil {
				answers[i] = Answer{Node: node, Err: why}
			}
		})
	}
	asked.Wait()
	return answers
}

func ask(ctx context.Context, node Node, q Question) Answer {
	within, stop := context.WithTimeout(ctx, q.Timeout)
	defer stop()
	l, err := node.Asker.Ask(within, q)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		err = fault.WithHint(fmt.Errorf("it did not answer within %v", q.Timeout),
			"see whether the node hangs, or give --timeout more")
	case err == nil:
		l, err = checked(l, q.Nonce)
	}
	return Answer{Node: node, Local: l, Err: err}
}

var (
	isFingerprint = regexp.MustCompile(`^[0-9a-f]{64}$`)
	isMode        = regexp.MustCompile(`^[0-7]{4}$`)
)

// maxCopies is more than any node has.
const maxCopies = 8

// checked makes an answer safe to compare and to print, or refuses it.
func checked(l masterkey.Local, nonce string) (masterkey.Local, error) {
	if l.Nonce != nonce {
		return masterkey.Local{}, fault.WithHint(errors.New("its answer is to another nonce"),
			"it is of an earlier run, or of another challenge: ask the node again")
	}
	l.Host, l.Version, l.Doubt = program.Clean(l.Host), program.Clean(l.Version), program.Clean(l.Doubt)
	switch l.Role {
	case environment.Main, environment.Worker, environment.Webhook, "":
	default:
		l.Role = ""
	}
	if l.Execution != nil {
		l.Execution = &masterkey.Execution{
			Workflow: program.Clean(l.Execution.Workflow), OK: l.Execution.OK,
			Problem: program.Clean(l.Execution.Problem),
		}
	}
	used := 0
	for i, c := range l.Copies {
		if c.Used {
			used++
		}
		if !sound(c) || i >= maxCopies || used > 1 {
			return masterkey.Local{}, errNotSallyport()
		}
		c.From, c.Problem, c.Hint, c.Doubt = program.Clean(c.From), program.Clean(c.Problem), program.Clean(c.Hint),
			program.Clean(c.Doubt)
		l.Copies[i] = c
	}
	return l, nil
}

// sound tells whether a copy is one that Inspect can have made.
func sound(c masterkey.Copy) bool {
	is := func(text string, pattern *regexp.Regexp) bool { return text == "" || pattern.MatchString(text) }
	return is(c.Fingerprint, isFingerprint) && is(c.Low, isFingerprint) && is(c.Mode, isMode) &&
		(c.Fingerprint != "" || !c.Used && c.Low == "")
}

func errNotSallyport() error {
	return fault.WithHint(errors.New("what it answers is not what `sallyport key verify --local --json` prints"),
		"see which version of sallyport is there")
}

// Parse reads what `sallyport key verify --local --json` prints. Nothing of it is quoted in an error.
func Parse(content []byte) (masterkey.Local, error) {
	var l masterkey.Local
	if err := json.Unmarshal(content, &l); err != nil || l.Nonce == "" {
		return masterkey.Local{}, errNotSallyport()
	}
	return l, nil
}

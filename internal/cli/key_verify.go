package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/n8n/process"
	"sallyport/internal/program"
)

// keyVerification is what `key verify` was called with.
type keyVerification struct {
	local            bool
	nonce, nonceFile string
	newChallenge     string
	role             string
	expect           string
	out              string
	execute          string
	unit             string
	timeout          time.Duration

	fleet keyFleet
}

// The times that one node gets, when --timeout gives no other.
const (
	askTime     = 30 * time.Second
	executeTime = 5 * time.Minute
)

func (e *env) keyVerify() *cobra.Command {
	var v keyVerification
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that every node of n8n has the same master key, and that the database needs it",
		Long: `Asks every node for the fingerprint of its master key, the HMAC-SHA256 of the key under a fresh nonce, and compares them. The key
itself never leaves a node and is never shown. With --database the key of --key-file (or of this environment) is tried on n8n's
database first, and the nodes are compared with it; without one, nodes that differ are shown in groups, since a majority proves
nothing.

A node is asked by running sallyport in it. --node NAME=WAY, as often as there are nodes, takes these ways:

  docker:CONTAINER                     docker exec
  kubectl:NAMESPACE/POD[/CONTAINER]    kubectl exec
  nomad:ALLOC[/TASK]                   nomad alloc exec
  systemd:[HOST/]UNIT                  the n8n of a systemd unit, here or over ssh
  exec:COMMAND…                        any command that runs another one in the node, such as: exec:ssh n8n-1
  https://HOST:PORT                    'sallyport key agent' listens there
  file:PATH                            what the node has written with --out, under the nonce of --nonce-file

Behind ?, docker takes the engine: docker:n8n-1?host=ssh://n8n-2. kubectl takes kubeconfig and context, nomad takes address,
region, namespace, ca, cert, key and server_name. Without them docker, kubectl and nomad look where their own settings say.

--docker-label and --kubectl-selector find nodes by themselves.

With --local it looks at one node, the one that it runs in: at the n8n that runs in the same container, else at its own
environment. It tells what n8n's key comes from (N8N_ENCRYPTION_KEY, N8N_ENCRYPTION_KEY_FILE, n8n's settings file), normalised as
n8n does it, whether it is a key at all and not the name of a file or an example, and the fingerprint of each copy.

It exits with 12 when a node does not have the key that it should have, or has none, or does not start with it; with 1 when a
node could not be asked; with 3 when a key works and should not stay (an example, the name of a file, a short one).`,
		Example: `  sallyport key verify --docker-label com.docker.compose.project=n8n --database-file n8n-db.url --key-file n8n.key
  sallyport key verify --node main=docker:n8n --node worker=kubectl:prod/n8n-worker-0 --node edge=https://n8n-3:8473
  docker exec n8n-worker-1 sallyport key verify --local --nonce "$NONCE"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := v.check(cmd); err != nil {
				return err
			}
			switch {
			case v.newChallenge != "":
				return e.newChallenge(v.newChallenge)
			case v.local:
				return e.verifyLocal(cmd.Context(), v)
			}
			return e.verifyFleet(cmd.Context(), v)
		},
	}
	v.flags(cmd)
	v.fleet.flags(cmd)
	return cmd
}

func (v *keyVerification) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&v.local, "local", false, "look at the node that this runs in")
	f.StringVar(&v.nonce, "nonce", "",
		"what fingerprints are taken under, 16 characters or more (default: a fresh one)")
	f.StringVar(&v.nonceFile, "nonce-file", "", "read the nonce from this file, which --new-challenge has made")
	f.StringVar(&v.newChallenge, "new-challenge", "",
		"write a fresh nonce to this new file and end: for nodes that cannot be asked from here")
	f.StringVar(&v.role, "role", "",
		"with --local: what the node is (main, worker, webhook), where that cannot be seen")
	f.StringVar(&v.expect, "expect", "",
		"with --local: exit with 12 unless the key has this fingerprint under the nonce")
	f.StringVar(&v.out, "out", "", "with --local: write the answer to this file, as JSON")
	f.StringVar(&v.unit, "systemd-unit", "",
		"with --local: look at the n8n of this systemd unit, instead of that of a container or an environment")
	f.StringVar(&v.execute, "execute", "",
		"also run this workflow (its id) in each node with `n8n execute`, and tell whether it ended well")
	f.DurationVar(&v.timeout, "timeout", 0, "how long one node may take (default 30s, with --execute 5m)")
}

var sha256Hex = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// check refuses what cannot be meant, and fills in the nonce and the time.
func (v *keyVerification) check(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	asksFleet := v.fleet.asked()
	switch {
	case changed("new-challenge") && (v.local || asksFleet || v.newChallenge == ""):
		return usage(errors.New("--new-challenge writes a file, and does nothing else"),
			"sallyport key verify --new-challenge FILE")
	case changed("new-challenge"):
		return nil
	case v.local && asksFleet:
		return usage(errors.New("--local looks at one node, the other flags ask many"),
			"leave --local away, or all of the others")
	case !v.local && !asksFleet:
		return usage(errors.New("which nodes?"),
			"add --local, and run it inside each node; or name them with --node, --docker-label, --kubectl-selector "+
				"or --fingerprints")
	case !v.local && (v.role != "" || v.expect != "" || v.out != "" || v.unit != ""):
		return usage(errors.New("--role, --expect, --out and --systemd-unit are for one node"), "add --local")
	case v.unit != "" && process.CheckUnit(v.unit) != nil:
		return usage(fmt.Errorf("there is no systemd unit %q", program.Clean(v.unit)), "such as n8n-worker.service")
	case v.unit != "" && (v.execute != "" || v.role != ""):
		return usage(errors.New("--execute and --role do not go with --systemd-unit"), "leave them away")
	case v.expect != "" && (!sha256Hex.MatchString(v.expect) || v.nonce+v.nonceFile == ""):
		return usage(errors.New("--expect wants a whole fingerprint, and the nonce that it was taken under"),
			"`sallyport key verify --local` on a node that is right prints both")
	case v.role != "" && environment.Role(v.role) != environment.Main &&
		environment.Role(v.role) != environment.Worker && environment.Role(v.role) != environment.Webhook:
		return usage(fmt.Errorf("n8n has no role %q", v.role), "main, worker or webhook")
	case v.execute != "" && !process.IsWorkflowID(v.execute):
		return usage(fmt.Errorf("--execute %q is no id of a workflow", v.execute),
			"it is the last part of the workflow's address in n8n")
	}
	if v.timeout <= 0 {
		v.timeout = askTime
		if v.execute != "" {
			v.timeout = executeTime
		}
	}
	return v.readNonce(changed("nonce"), changed("nonce-file"))
}

func (v *keyVerification) readNonce(given, inFile bool) (err error) {
	switch {
	case given && inFile:
		return usage(errors.New("--nonce and --nonce-file are two nonces"), "keep one")
	case inFile:
		v.nonce, err = nodes.ReadChallenge(v.nonceFile)
		return err
	case !given:
		v.nonce = masterkey.NewNonce()
		return nil
	}
	if err := nodes.CheckNonce(v.nonce); err != nil {
		return usage(fmt.Errorf("reading --nonce: %w", err), "leave it away on the first node: a fresh one is printed")
	}
	return nil
}

func (e *env) newChallenge(path string) error {
	if err := nodes.NewChallenge(path); err != nil {
		return fault.WithHint(err, "a challenge is used once: name a new file")
	}
	return e.print(map[string]string{"file": path}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w,
			"%s holds a fresh nonce; on each node: sallyport key verify --local --nonce-file %s --out NAME.json\n",
			path, path)
		return err
	})
}

func (e *env) verifyLocal(ctx context.Context, v keyVerification) error {
	within, stop := context.WithTimeout(ctx, v.timeout)
	defer stop()
	l, err := v.look(within)
	if err != nil {
		return err
	}
	if v.out != "" {
		if err := writeAnswer(v.out, l); err != nil {
			return err
		}
	}
	if err := e.print(l, func(w io.Writer) error { return printLocal(w, l) }); err != nil {
		return err
	}
	return localFault(l, v.expect)
}

func (v *keyVerification) look(ctx context.Context) (masterkey.Local, error) {
	if v.unit != "" {
		return masterkey.InspectUnit(v.unit, v.nonce)
	}
	return masterkey.Here{Role: environment.Role(v.role), Workflow: v.execute}.Inspect(ctx, v.nonce), nil
}

// writeAnswer keeps an answer for `--fingerprints`. There is no secret in it.
func writeAnswer(path string, l masterkey.Local) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(l); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	f, err := localfile.Create(path, 0o644) // fingerprints, for someone else to fetch
	if errors.Is(err, fs.ErrExist) {
		return fault.WithHint(fmt.Errorf("writing the answer: %q is there already", path),
			"nothing is overwritten: name a new file, or remove that one")
	}
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}

func printLocal(w io.Writer, l masterkey.Local) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = cells(t, "nonce\t%s\n", l.Nonce)
	for _, line := range [][2]string{{"host", l.Host}, {"role", string(l.Role)}, {"n8n", l.Version}} {
		if line[1] != "" {
			_, _ = cells(t, "%s\t%s\n", line[0], line[1])
		}
	}
	if l.Process != 0 {
		_, _ = cells(t, "environment\tof process %d\n", l.Process)
	}
	if l.Doubt != "" {
		_, _ = cells(t, "environment\t%s\n", l.Doubt)
	}
	if x := l.Execution; x != nil {
		_, _ = cells(t, "workflow\t%s\n", executionOf(x))
	}
	_, _ = cells(t, "\nFROM\tUSED\tFINGERPRINT\tNOTE\n")
	for _, c := range l.Copies {
		used := "no"
		if c.Used {
			used = "yes"
		}
		_, _ = cells(t, "%s\t%s\t%s\t%s\n", c.From, used, orDash(c.Fingerprint), noteOf(c))
	}
	return t.Flush()
}

func executionOf(x *masterkey.Execution) string {
	if x.OK {
		return "ok"
	}
	return strings.TrimSpace("failed: " + x.Problem)
}

// localFault is what is wrong with a node, and, when a fingerprint is expected, with the key that it is of.
func localFault(l masterkey.Local, expect string) error {
	used, _ := l.Used()
	found := l.Fault()
	switch {
	case expect != "" && !strings.EqualFold(used.Fingerprint, expect):
		what := errors.New("the key of this node is not the expected one")
		if used.Fingerprint == "" {
			what = errors.New("this node has no key, and one is expected")
		}
		return fault.WithExit(fault.WithHint(what, "`sallyport key verify --local` tells where its key comes from"),
			fault.ExitKeyMismatch)
	case found != nil && !l.Agree:
		return fault.WithExit(found, fault.ExitKeyMismatch)
	case found != nil:
		return fault.WithExit(found, fault.ExitFindings)
	case l.Execution != nil && !l.Execution.OK:
		return fault.WithExit(fault.WithHint(errors.New("the workflow failed: "+l.Execution.Problem),
			"look at the execution in n8n"), fault.ExitFindings)
	}
	return nil
}

func noteOf(c masterkey.Copy) string {
	switch {
	case c.Problem != "":
		return c.Problem
	case c.Doubt != "":
		return "works, but " + c.Doubt
	}
	return "ok"
}

package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/program"
	"sallyport/internal/wayout"
)

// egressProving is what `egress prove` was called with.
type egressProving struct {
	egressChecking
	namespaces []string
	verify     string
	maxAge     time.Duration
}

func (e *env) egressProve() *cobra.Command {
	var p egressProving
	cmd := &cobra.Command{
		Use:   "prove [FILE]...",
		Short: "Turn clean checks of every node into one signed report, or verify one",
		Long: `Each FILE is what 'sallyport egress check --json' printed in a node. With --netns, the check is run in a network namespace of this
machine, which takes root and the program nsenter: a name of 'ip netns', or a path such as /proc/PID/ns/net. Where every way is
closed in all of them, the proof is printed as JSON: host, time and namespace of each run, and each probe. It is signed by the key
of the audit log's checkpoints. What is open, unclear, older than --max-age, or twice there is refused with exit code 3.

A FILE says what its node said; what --netns has run, this command has seen by itself. The proof tells the two apart.`,
		Example: "  sallyport egress prove main.json worker-1.json worker-2.json > proof.json\n" +
			"  sallyport egress prove --netns n8n-main --netns /proc/4711/ns/net > proof.json\n" +
			"  sallyport egress prove --verify proof.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.verify != "" {
				if len(args)+len(p.namespaces) > 0 {
					return usage(errors.New("--verify takes no runs"), "sallyport egress prove --verify proof.json")
				}
				return e.verifyEgress(cmd.Context(), p.verify)
			}
			return e.proveEgress(cmd.Context(), p, args)
		},
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&p.namespaces, "netns", nil,
		"network namespace to run the check in: a name or a path; may be repeated")
	f.StringVar(&p.verify, "verify", "", "file with a proof to verify")
	f.DurationVar(&p.maxAge, "max-age", time.Hour, "how old a run may be")
	return cmd
}

func (e *env) proveEgress(ctx context.Context, p egressProving, files []string) error {
	o, err := p.options()
	if err != nil {
		return err
	}
	var runs []wayout.Run
	for _, file := range files {
		r, err := readReport(file)
		if err != nil {
			return err
		}
		runs = append(runs, wayout.Run{Seen: "file", Report: r})
	}
	for _, namespace := range p.namespaces {
		r, err := p.inside(ctx, namespace)
		if err != nil {
			return err
		}
		runs = append(runs, wayout.Run{Seen: "here", Report: r})
	}
	var proof wayout.Proof
	err = e.withAuditKey(ctx, func(key ed25519.PrivateKey, _ ed25519.PublicKey, id string) error {
		proof, err = wayout.Prove(wayout.Proving{
			Runs: runs, Baseline: o.Baseline, MaxAge: p.maxAge, Now: time.Now(), KeyID: id, Sign: key,
		})
		return err
	})
	if errors.Is(err, wayout.ErrNotClean) {
		return fault.WithExit(err, fault.ExitFindings)
	}
	if err != nil {
		return err
	}
	enc := json.NewEncoder(e.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(proof)
}

// withAuditKey opens the state for the key that signs checkpoints.
func (e *env) withAuditKey(ctx context.Context,
	do func(key ed25519.PrivateKey, public ed25519.PublicKey, id string) error,
) error {
	return e.withHead(ctx, func(s *app.State) error {
		keys, err := s.AuditKeys(ctx)
		if err != nil {
			return err
		}
		public, ok := keys.Sign.Public().(ed25519.PublicKey)
		if !ok {
			return errors.New("the key of the checkpoints is no Ed25519 key")
		}
		return do(keys.Sign, public, audit.KeyID(public))
	})
}

// inside runs the check in a network namespace.
func (p egressProving) inside(ctx context.Context, namespace string) (wayout.Report, error) {
	path := namespace
	if !strings.Contains(path, "/") {
		path = filepath.Join("/run/netns", path)
	}
	self, err := os.Executable()
	if err != nil {
		return wayout.Report{}, fmt.Errorf("finding this program: %w", err)
	}
	argv := []string{"nsenter", "--net=" + path, "--", self, "egress", "check", "--json", "--role", namespace}
	for _, t := range p.targets {
		argv = append(argv, "--target", t)
	}
	for flag, value := range map[string]string{
		"--baseline": p.baseline, "--dns-zone": p.zone, "--n8n-version": p.version,
	} {
		if value != "" {
			argv = append(argv, flag, value)
		}
	}
	if p.timeout > 0 {
		argv = append(argv, "--timeout", p.timeout.String())
	}
	// The environment is not the node's, so that its proxy variables say nothing about n8n.
	ended := program.Command{Argv: argv, Env: []string{"PATH=" + os.Getenv("PATH")}}.Run(ctx)
	r, err := wayout.ReadReport(ended.Stdout)
	if err != nil { // an exit code other than 0 has its reasons in the report
		return r, fault.WithHint(fmt.Errorf("checking in %q: %s", namespace, whyNot(ended)),
			"it takes root, the program nsenter (util-linux), and a namespace that is there: ip netns list")
	}
	return r, nil
}

func whyNot(ended program.Ended) string {
	if ended.Said != "" {
		return ended.Said
	}
	if ended.Err != nil {
		return ended.Err.Error()
	}
	return fmt.Sprint("exit code ", ended.Exit)
}

// verified is what --verify prints.
type verified struct {
	OK    bool          `json:"ok"`
	Proof *wayout.Proof `json:"proof,omitempty"`
	Why   string        `json:"why,omitempty"`
}

func (e *env) verifyEgress(ctx context.Context, file string) error {
	text, err := localfile.Read(file, localfile.Small)
	if err != nil {
		return fmt.Errorf("reading %q: %w", file, err)
	}
	return e.withAuditKey(ctx, func(_ ed25519.PrivateKey, public ed25519.PublicKey, id string) error {
		proof, err := wayout.VerifyProof(text, public, id)
		if err != nil {
			return errors.Join(e.print(verified{Why: err.Error()}, func(io.Writer) error { return nil }),
				fault.WithExit(fault.WithHint(err, "a proof is verified by the state directory that made it"),
					fault.ExitFindings))
		}
		return e.print(verified{OK: true, Proof: &proof}, func(w io.Writer) error { return tellProof(w, proof) })
	})
}

func tellProof(w io.Writer, p wayout.Proof) error {
	_, err := fmt.Fprintf(w, "signed %s on %s by key %s: no way out of %s\n", when(p.Time), p.Host, p.Key,
		counted(len(p.Runs), "namespace"))
	for _, run := range p.Runs {
		r := run.Report
		_, wrote := fmt.Fprintf(w, "  %s  %-8s %s %s %s: %s closed\n", when(r.Time), run.Seen, r.Host, r.Namespace,
			r.Role, counted(r.Count(wayout.Closed), "way"))
		err = errors.Join(err, wrote)
	}
	return err
}

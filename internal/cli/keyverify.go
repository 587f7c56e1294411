package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
)

// minNonce is the shortest nonce that is taken, in bytes: fingerprints under one that is used again can be compared.
const minNonce = 16

func (e *env) keyVerify() *cobra.Command {
	var local bool
	var nonce string
	cmd := &cobra.Command{
		Use:   "verify --local",
		Short: "Tell where the n8n of this environment has its master key from, and the key's fingerprint",
		Long: `Reads the master key of this environment as n8n does, from N8N_ENCRYPTION_KEY, N8N_ENCRYPTION_KEY_FILE and n8n's settings file
(.n8n/config), and tells which one n8n uses, whether it is a key at all (and not the name of a file, or an example), and its
fingerprint: the HMAC-SHA256 of the key under a nonce. The key itself is never shown. Nodes have the same key if they show the
same fingerprint under the same nonce; give all of them the nonce that the first one printed.

It exits with 12 when the environment and the settings file disagree, and with 3 when there is no key that can be used.`,
		Example: "  docker exec n8n-worker-1 sallyport key verify --local --nonce \"$NONCE\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !local:
				return usage(errors.New("which environment?"), "add --local, and run it inside each node")
			case !cmd.Flags().Changed("nonce"):
				nonce = masterkey.NewNonce()
			case len(nonce) < minNonce:
				return usage(fmt.Errorf("reading --nonce: it has %d characters, want %d or more", len(nonce), minNonce), "leave it away on the first node: a fresh one is printed")
			}
			return e.tellLocal(masterkey.Inspect(os.LookupEnv, nonce))
		},
	}
	cmd.Flags().BoolVar(&local, "local", false, "look at this environment")
	cmd.Flags().StringVar(&nonce, "nonce", "", "what fingerprints are taken under, 16 characters or more (default: a fresh one)")
	return cmd
}

func (e *env) tellLocal(l masterkey.Local) error {
	err := e.print(l, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintf(t, "nonce\t%s\n\nFROM\tUSED\tFINGERPRINT\tNOTE\n", l.Nonce)
		for _, c := range l.Copies {
			used := "no"
			if c.Used {
				used = "yes"
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.From, used, orDash(c.Fingerprint), noteOf(c))
		}
		return t.Flush()
	})
	found := l.Fault()
	switch {
	case err != nil || found == nil:
		return err
	case !l.Agree:
		return fault.WithExit(found, fault.ExitKeyMismatch)
	}
	return fault.WithExit(found, fault.ExitFindings)
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

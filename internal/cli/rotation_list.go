package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/rotation"
	rotationrun "sallyport/internal/rotation/run"
)

// Kinds of what is rotated.
const (
	kindToken  = "token"
	kindSecret = "secret"
)

// listedRotation is a rotation that has run, or can.
type listedRotation struct {
	Kind       string    `json:"kind"` // token or secret
	Name       string    `json:"name"`
	Token      string    `json:"token,omitempty"`      // the name again, of a proxy token
	Generation string    `json:"generation,omitempty"` // of a proxy token
	Run        string    `json:"run,omitempty"`        // of a secret
	State      string    `json:"state"`
	Step       string    `json:"step,omitempty"`    // that is next
	Removed    bool      `json:"removed,omitempty"` // the configuration has it no longer, and a run is unfinished
	Started    time.Time `json:"started,omitzero"`
	Updated    time.Time `json:"updated,omitzero"`
	LastError  string    `json:"last_error,omitempty"`
	Hint       string    `json:"hint,omitempty"`
}

func (e *env) rotationList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the rotations of secrets, and what is unfinished of proxy tokens: state, next step, last error",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return e.listRotations(cmd.Context()) },
	}
}

func (e *env) listRotations(ctx context.Context) error {
	return e.with(ctx, func(s *app.State) error {
		tokens, err := s.Rotations().Journal.List(ctx)
		if err != nil {
			return err
		}
		runs, err := s.RunsOfSecrets(ctx)
		if err != nil {
			return err
		}
		list := append(listTokens(tokens), listSecrets(s.Config.RotationNames(), runs)...)
		return e.print(orEmpty(list), func(w io.Writer) error { return printRotations(w, list) })
	})
}

func listTokens(tokens []rotation.Entry) (list []listedRotation) {
	for _, one := range tokens {
		list = append(list, listedRotation{
			Kind: kindToken, Name: one.Name, Token: one.Name, Generation: one.ID,
			State: string(rotationrun.StateRunning),
			Step:  string(one.Step), Started: one.Started, Updated: one.Updated, LastError: one.LastError,
		})
	}
	return list
}

// listSecrets shows the newest run of each rotation, also of one that the configuration has no longer while it is
// unfinished.
func listSecrets(names []string, runs []rotationrun.Entry) (list []listedRotation) {
	newest := make(map[string]rotationrun.Entry)
	for _, one := range runs {
		newest[one.Name] = one
	}
	for _, name := range names {
		one, there := newest[name]
		if !there {
			one = rotationrun.Entry{Name: name, State: "not yet run"}
		}
		list = append(list, listSecret(one))
		delete(newest, name)
	}
	for _, one := range newest {
		if !one.Ended() {
			shown := listSecret(one)
			shown.Removed = true
			list = append(list, shown)
		}
	}
	slices.SortFunc(list, func(a, b listedRotation) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func listSecret(one rotationrun.Entry) listedRotation {
	return listedRotation{
		Kind: kindSecret, Name: one.Name, Run: one.ID, State: string(one.State), Step: string(one.Step),
		Started: one.Started, Updated: one.Updated, LastError: one.LastError, Hint: one.Hint,
	}
}

func printRotations(w io.Writer, list []listedRotation) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "KIND\tNAME\tGENERATION OR RUN\tSTATE\tNEXT STEP\tSTARTED\tLAST ERROR")
	for _, one := range list {
		state := one.State
		if one.Removed {
			state += ", removed from the configuration"
		}
		_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.Kind, one.Name, orDash(one.Generation+one.Run),
			state, orDash(one.Step), when(one.Started), orDash(one.LastError))
	}
	return t.Flush()
}

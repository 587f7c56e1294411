package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"sallyport/internal/wayout"
)

func (e *env) egressListen() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Be the other side of `egress check --target`, outside of the wall",
		Long: `Listens on the ports that 'sallyport egress check' tries (TCP 21, 22, 25, 53, 80, 443, 465, 587, 853, 993, 4444, 9418 and UDP 53,
123, 443) and responds, until it is interrupted. Whatever it hears it prints, a line for each connection: with a check of a closed
node there is none. Ports that are in use are named and left out.

Run it on a host outside of the wall that serves nothing else, and only for as long as you check.`,
		Example: "  sallyport egress listen --address 203.0.113.7",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return e.listenEgress(cmd.Context(), address) },
	}
	cmd.Flags().StringVar(&address, "address", "", "address to listen on (default: all of this machine's)")
	return cmd
}

func (e *env) listenEgress(ctx context.Context, address string) error {
	l := wayout.Listener{
		Heard:   e.heard,
		Missing: func(err error) { e.note("not listening: %s", err) },
		Ready:   func(ports []int) { e.note("egress listen: ready on ports %v", ports) },
	}
	if address != "" {
		a, err := netip.ParseAddr(address)
		if err != nil {
			return usage(fmt.Errorf("--address %q is no IP address", address), "for example 203.0.113.7")
		}
		l.Address = a
	}
	err := l.Run(ctx)
	if ctx.Err() != nil && err == nil {
		return nil
	}
	return errors.Join(err)
}

func (e *env) heard(h wayout.Heard) {
	if e.json {
		_ = json.NewEncoder(e.Out).Encode(h)
		return
	}
	_, _ = fmt.Fprintf(e.Out, "%s  %-9s from %s\n", when(h.Time), h.On, h.From)
}

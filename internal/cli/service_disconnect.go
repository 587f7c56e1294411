package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/boundary/service"
)

func (e *env) serviceDisconnect() *cobra.Command {
	return &cobra.Command{
		Use:   "disconnect NAME",
		Short: "Drop the tokens that a consent has brought",
		Long: `Drops the tokens of a connected service, on record and in the running gates; requests to it are refused until it is connected
again. At the provider the consent stays until it is withdrawn there.`,
		Example: "  sallyport service disconnect crm",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withService(cmd.Context(), args[0], func(s *app.State) error {
				if err := record(cmd.Context(), s, "service.disconnect", args[0]); err != nil {
					return err
				}
				was, err := s.Disconnect(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				owner, _, _ := strings.Cut(args[0], "/")
				// one that is gone from the configuration can still be connected
				if _, ok := s.Config.Services[owner]; !ok && !was {
					return service.Unknown(s.Config, owner)
				}
				return e.print(map[string]any{"service": args[0], "disconnected": was}, func(w io.Writer) error {
					text := "%s is disconnected; withdraw the consent at the provider too\n"
					if !was {
						text = "%s was not connected\n"
					}
					_, err := fmt.Fprintf(w, text, args[0])
					return err
				})
			})
		},
	}
}

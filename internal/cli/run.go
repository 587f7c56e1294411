package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/internal/entrypoint"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// The values of --files that are no names.
const (
	filesN8N  = "n8n"
	filesNone = "none"
)

func (e *env) entrypoint() *cobra.Command {
	var o entrypoint.Options
	var files []string
	var mask bool
	var install string
	cmd := &cobra.Command{
		Use:   "run [flags] -- CMD [ARG]...",
		Short: "Start a program with its secrets: references in its environment become values",
		Long: `Resolves every environment variable whose whole value is a reference (ref+STORE://PATH#FIELD, op://…, the ARN of an AWS secret,
file:///…) and every NAME_FILE variable of n8n's, then lets CMD take over this process. All variables that cannot be resolved
are reported together, and nothing is started. Nothing is written to disk, no argument is changed, and the stores' own
credentials (VAULT_TOKEN, AWS_SECRET_ACCESS_KEY and their like) are not handed to CMD.

With --watch it stays, as a small init, and restarts CMD when a secret has changed and all of them could be obtained. Signals are
passed on, and the exit code is CMD's. docs/entrypoint.md has the whole story.`,
		Example: "  N8N_ENCRYPTION_KEY=ref+corp://n8n#key sallyport run -- n8n worker\n  sallyport run --watch " +
			"--splay 2m --mask -- n8n start",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && install == "" {
				return usage(errors.New("there is no program to run"), "sallyport run [flags] -- CMD [ARG]...")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if install != "" {
				return entrypoint.Install(install)
			}
			c, _, err := e.load()
			if err != nil {
				return err
			}
			o.Argv, o.Environ = args, os.Environ()
			// the program's streams are its own
			o.Stdin, o.Stdout, o.Stderr, o.Note = e.In, e.values(), unwrapped(e.Err), e.note
			if o.Resolver, err = openRunStores(cmd.Context(), c, o.Poll); err != nil {
				return err
			}
			o.Withhold = storeVariables(c, o.Environ)
			if o.Files, err = filesOf(files); err != nil {
				return err
			}
			if mask {
				o.Mask = e.mask
			}
			return entrypoint.Run(cmd.Context(), o)
		},
	}
	runFlags(cmd, &o)
	f := cmd.Flags()
	f.StringSliceVar(&files, "files", []string{filesN8N},
		"which NAME_FILE variables become NAME: n8n (those that n8n knows), none, or further NAMEs")
	f.BoolVar(&mask, "mask", false, "mask the values in CMD's output; stays as its parent")
	f.StringVar(&install, "install", "", "copy this program to a file and end: for init containers")
	return cmd
}

func runFlags(cmd *cobra.Command, o *entrypoint.Options) {
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringSliceVar(&o.Only, "only", nil, "look at these variables alone")
	f.StringVar(&o.Prefix, "prefix", "", "look at variables alone whose name begins so")
	f.StringSliceVar(&o.Keep, "keep", nil,
		"hand over these variables (NAME or PREFIX*) although they are a store's credentials")
	f.BoolVar(&o.Strict, "strict", false,
		"refuse to start when a variable is left unresolved, or as a template had it (CHANGEME, TODO, <…>)")
	f.BoolVar(&o.N8N, "n8n", false, "CMD is n8n, although its name does not say so")
	f.DurationVar(&o.Timeout, "timeout", time.Minute, "how long to wait for the stores")
	f.BoolVar(&o.Supervise, "supervise", false, "stay as CMD's parent: pass signals on, clear away orphans")
	f.BoolVar(&o.Watch, "watch", false, "restart CMD when a secret has changed and all of them could be obtained")
	f.DurationVar(&o.Splay, "splay", 0,
		"wait a random part of this before a restart, so that a fleet does not restart at once")
	f.DurationVar(&o.Grace, "grace", 30*time.Second, "how long CMD may take to end at a restart before it is killed")
	f.DurationVar(&o.Poll, "poll", 30*time.Second,
		"how often files are looked at for a change; stores have their own refresh in sallyport.yaml")
}

// storeVariables are those with which stores are entered: by their kinds, whether configured or not, and by the
// configuration.
func storeVariables(c *config.Config, environ []string) []string {
	names := []string{c.Seal.KeyEnv}
	for _, kind := range c.Kinds().Stores {
		names = append(names, kind.Withhold...)
	}
	for _, store := range c.Stores {
		names = append(names, store.Settings.Variables(environ)...)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// filesOf reads --files.
func filesOf(values []string) (entrypoint.Files, error) {
	var files entrypoint.Files
	for _, v := range values {
		switch {
		case v == filesN8N || v == "":
		case v == filesNone:
			files.None = true
		case strings.ContainsAny(v, "/= "):
			return files, usage(fmt.Errorf("--files takes names of variables, not %q", v),
				"--files "+filesN8N+", "+filesNone+" or NAME,… (for NAME_FILE)")
		default:
			files.Names = append(files.Names, strings.TrimSuffix(v, "_FILE"))
		}
	}
	if files.None && len(files.Names) > 0 {
		return files, usage(errors.New("--files says none, and names some"), "keep one")
	}
	return files, nil
}

// endOf is the exit code of a program that run has started.
func (e *env) endOf(err error) (fault.Exit, bool) {
	var end *entrypoint.ExitError
	if !errors.As(err, &end) {
		return 0, false
	}
	if end.Why != "" {
		e.complain(end)
	}
	return fault.Exit(end.Code), true
}

// mask lets no held value through in a program's output.
func (e *env) mask(held []secret.Value) func(io.Writer) io.WriteCloser {
	set := e.masks(held)
	return func(w io.Writer) io.WriteCloser { return &masker{to: w, stream: set.Stream()} }
}

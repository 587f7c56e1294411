// Package cli is the command line: one file per command, named by the command's path (key_verify.go is `key verify`;
// what a longer one is divided into begins with the same words). output.go, progress.go, visible.go and errors.go are
// what all share. A command reads its flags, calls what does the work, and prints.
//
// Errors end as "sallyport: error: …" and "sallyport: hint: …" on standard error, with the exit codes of package fault.
// Results go to standard output; with --json as one JSON value. Both streams are visible ones: what would command a
// terminal is printed as an escape; only values that were asked for are not. No secret is ever taken from or put into
// an argument.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/config"
	"sallyport/internal/config/notation"
	"sallyport/internal/fault"
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// env is what every command shares.
type env struct {
	Streams
	configPath string
	data       string
	json       bool
	kinds      config.Kinds
	wait       string // --wait, of the commands that change what replicas act by
}

// waits adds --wait to a command that changes what replicas act by.
func (e *env) waits(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&e.wait, "wait", "",
		"how long to wait for every replica to act by it, such as 30s; those that did not are named, with exit code "+
			"13 (default: revocation.wait, 10s)")
	return cmd
}

// Main runs one command and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) fault.Exit {
	return run(ctx, args, s, app.Kinds())
}

func run(ctx context.Context, args []string, s Streams, kinds config.Kinds) fault.Exit {
	out, errs := &visible{to: s.Out}, &visible{to: s.Err}
	defer out.end()
	defer errs.end()
	e := &env{Streams: Streams{In: s.In, Out: out, Err: errs}, kinds: kinds}
	root := e.root() //nolint:contextcheck // cobra hands the context to the commands
	root.SetArgs(args)
	e.json = asksForJSON(args) // also for what is wrong with the flags themselves
	err := root.ExecuteContext(ctx)
	if err == nil {
		return fault.ExitOK
	}
	if code, ended := e.endOf(err); ended {
		return code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = fault.WithExit(errInterrupted, fault.ExitInterrupted)
	}
	e.complain(err)
	return fault.ExitOf(err)
}

// root is the tree of commands.
func (e *env) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sallyport",
		Short:         "The execution boundary for n8n: one proxy token in n8n, every credential behind Sallyport",
		SilenceErrors: true, SilenceUsage: true, Version: Version(),
		Args: noCommand,
		RunE: help,
	}
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	f := root.PersistentFlags()
	f.StringVar(&e.configPath, "config", "", "configuration file (default ./sallyport.yaml)")
	f.StringVar(&e.data, "data", "", "data directory (default: as configured, ./sallyport-data)")
	f.BoolVar(&e.json, "json", e.json, "print results as JSON on standard output, and errors as JSON on standard error")
	f.Lookup("json").DefValue = "false"
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(e.demo(), e.init(), e.serve(), e.entrypoint(), e.config(), e.secret(), e.token(), e.rotateSecret(),
		e.rotation(),
		e.fleet(), e.database(), e.service(), e.key(), e.audit(), e.watch(), e.egress(), e.doctor(),
		e.bench(), e.version(), e.reference())
	root.SetHelpCommand(helpOn())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, sub := range root.Commands() {
		if sub.Name() == "completion" {
			sub.RunE = help // cobra's own shows its help for any word, and calls it success
		}
	}
	usageErrors(root)
	e.completions(root)
	return root
}

// group is a command that does nothing but hold others.
func group(use, short string, of ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: help}
	cmd.AddCommand(of...)
	return cmd
}

func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// helpOn is the command help. Cobra's own shows the help of what is above a command that does not exist.
func helpOn() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Help about any command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) (words []cobra.Completion,
			_ cobra.ShellCompDirective,
		) {
			if of, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range of.Commands() {
					if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), start) {
						words = append(words, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if of.HasSubCommands() {
				if err := noCommand(of, rest); err != nil {
					return err
				}
			}
			of.InitDefaultHelpFlag()
			of.InitDefaultVersionFlag()
			return of.Help()
		},
	}
}

// load reads the configuration, with the flags over it.
func (e *env) load() (*config.Config, config.Warnings, error) { return e.loadBy(config.Load) }

// loader is load for who calls it again and again.
func (e *env) loader() func() (*config.Config, config.Warnings, error) {
	l := config.NewLoader(e.kinds, e.configPath)
	return func() (*config.Config, config.Warnings, error) {
		return e.loadBy(func(config.Kinds, string) (*config.Config, config.Warnings, error) { return l.Load() })
	}
}

func (e *env) loadBy(read loading) (*config.Config, config.Warnings, error) {
	c, warnings, err := read(e.kinds, e.configPath)
	if err != nil {
		return nil, nil, misconfigured(err)
	}
	if e.data != "" {
		data, err := filepath.Abs(e.data)
		if err != nil {
			return nil, nil, fmt.Errorf("reading --data: %w", err)
		}
		if err := c.Override("data", data, "--data flag"); err != nil {
			return nil, nil, usage(err, "--data names a directory")
		}
	}
	return c, warnings, nil
}

// misconfigured adds where to look for what is wrong with a configuration. A file that cannot be read has a hint of its
// own.
func misconfigured(err error) error {
	errs, _ := errors.AsType[config.Errors](err)
	switch {
	case len(errs) == 1 && errs[0].Line == 0 && errs[0].Hint != "":
		bare := *errs[0]
		bare.Hint = ""
		return fault.WithHint(config.Errors{&bare}, errs[0].Hint)
	case len(errs) > 1:
		return fault.WithHint(err, "the lines above name file, line and key; docs/configuration.md lists all keys")
	}
	return fault.WithHint(err, "the line above names file, line and key; docs/configuration.md lists all keys")
}

// loading is how a command reads the configuration: all of it, or what it needs.
type loading func(kinds config.Kinds, path string) (*config.Config, config.Warnings, error)

// with runs fn on the opened state.
func (e *env) with(ctx context.Context, fn func(s *app.State) error) error {
	return e.withBy(ctx, config.Load, fn)
}

// withHead is with for what needs neither services nor tokens of the configuration, which are not read.
func (e *env) withHead(ctx context.Context, fn func(s *app.State) error) error {
	return e.withBy(ctx, config.LoadHead, fn)
}

// withNamed is with for what needs a few tokens and services of the configuration; the others are not read.
func (e *env) withNamed(ctx context.Context, named config.Named, fn func(s *app.State) error) error {
	return e.withBy(ctx, func(kinds config.Kinds, path string) (*config.Config, config.Warnings, error) {
		return config.LoadNamed(kinds, path, named)
	}, fn)
}

// withService is with for what is about one service, SERVICE or SERVICE/N.
func (e *env) withService(ctx context.Context, name string, fn func(s *app.State) error) error {
	return e.withBy(ctx, serviceAlone(name), fn)
}

// serviceAlone reads one service, SERVICE or SERVICE/N, and no other. Where there is none, it reads all: the names of
// the others tell which one was meant.
func serviceAlone(name string) loading {
	owner, _, _ := strings.Cut(name, "/")
	return func(kinds config.Kinds, path string) (*config.Config, config.Warnings, error) {
		c, warnings, err := config.LoadNamed(kinds, path, config.Named{Services: []string{owner}})
		if err == nil && c.Services[owner] == nil {
			return config.Load(kinds, path)
		}
		return c, warnings, err
	}
}

func (e *env) withBy(ctx context.Context, read loading, fn func(s *app.State) error) error {
	var wait time.Duration
	if e.wait != "" && e.wait != "0" {
		var err error
		if wait, err = notation.ParseDuration(e.wait); err != nil {
			return usage(fmt.Errorf("reading --wait %q: %w", e.wait, err), "write it as 30s or 2m")
		}
	}
	c, _, err := e.loadBy(read)
	if err != nil {
		return err
	}
	s, err := app.Open(ctx, c)
	if err != nil {
		return err
	}
	if e.wait != "" {
		s.Wait = wait
	}
	s.Noted = func(text string) { e.note("%s", text) }
	return errors.Join(fn(s), s.Close())
}

// print writes v as JSON, or lets text write it for a person.
func (e *env) print(v any, text func(w io.Writer) error) error {
	if !e.json {
		return text(e.Out)
	}
	enc := json.NewEncoder(e.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// done tells what was done to what.
func (e *env) done(what, name string) error {
	return e.print(map[string]string{what: name}, func(w io.Writer) error {
		_, err := cells(w, "%s is %s\n", name, what)
		return err
	})
}

// isTerminal tells whether f is a terminal.
func isTerminal(f any) bool {
	if w, ok := f.(io.Writer); ok {
		f = unwrapped(w)
	}
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// record puts what this person is about to do on record.
func record(ctx context.Context, s *app.State, action, subject string) error {
	return s.Record(ctx, &audit.Event{Actor: actor(), Action: action, Subject: subject})
}

// actor is this person's name, for the record.
func actor() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

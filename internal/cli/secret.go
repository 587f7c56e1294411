package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// maxValue is the largest secret the builtin store takes, in bytes.
const maxValue = 1 << 20

func (e *env) secret() *cobra.Command {
	return group("secret", "Keep secrets in the builtin store, or in another (--store)",
		e.secretSet(), e.secretGet(), e.secretList(), e.secretHistory(), e.secretRollback(), e.secretDelete(), e.secretImport())
}

func (e *env) secretSet() *cobra.Command {
	var store, file string
	var keep bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Store a secret from standard input, a file or a hidden prompt",
		Long: `Stores a new version of a secret, which the next request uses. The value comes from standard input, from --file, or from a
hidden prompt on a terminal; never from an argument, where every process could read it. One line break at the end, which
editors and echo add, is removed unless --keep-newline is given.`,
		Example: "  sallyport secret set openai < key.txt\n  op read op://prod/openai/key | sallyport secret set openai",
		Args:    noValue,
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := e.readValue(file, args[0], keep)
			if err != nil {
				return err
			}
			return e.withStore(cmd.Context(), store, func(t *target) error { return e.put(cmd.Context(), t, args[0], value) })
		},
	}
	storeFlag(cmd, &store)
	cmd.Flags().StringVar(&file, "file", "", "read the value from this file")
	cmd.Flags().BoolVar(&keep, "keep-newline", false, "keep a line break at the end")
	return e.waits(cmd)
}

// noValue refuses a value among the arguments. It quotes none of them: one is a secret.
func noValue(cmd *cobra.Command, args []string) error {
	if len(args) > 1 || len(args) == 1 && strings.Contains(args[0], "=") {
		return usage(errors.New("a value does not go among the arguments: other processes can read it there, and it is in your shell's history now"),
			"take it out of the history, or better, make a new key; then give it to standard input: `sallyport secret set NAME < key.txt`, or to the hidden prompt")
	}
	return cobra.ExactArgs(1)(cmd, args)
}

func (e *env) put(ctx context.Context, t *target, name string, value secret.Value) error {
	w, err := t.writer()
	if err != nil {
		return err
	}
	if err := t.record(ctx, "secret.set", name); err != nil {
		return err
	}
	version, err := w.Put(ctx, name, value)
	if err != nil {
		return err
	}
	return errors.Join(t.changed(ctx), e.tellVersion(name, version))
}

func (e *env) tellVersion(name string, v secret.Version) error {
	return e.print(struct {
		Name string `json:"name"`
		secret.Version
	}{name, v}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s is at version %s\n", name, v.ID)
		return err
	})
}

// readValue reads a secret's value from a file, a pipe or a hidden prompt.
func (e *env) readValue(file, name string, keepNewline bool) (secret.Value, error) {
	var raw []byte
	var err error
	switch {
	case file != "":
		raw, err = readFile(file)
	case isTerminal(e.In):
		raw, err = e.prompt("value of " + name + " (hidden): ")
	default:
		raw, err = io.ReadAll(io.LimitReader(e.In, maxValue+3))
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("reading the value of secret %q: %w", name, err)
	}
	if !keepNewline {
		raw = trimNewline(raw)
	}
	if len(raw) > maxValue {
		return secret.Value{}, fmt.Errorf("reading the value of secret %q: it is larger than 1 MiB", name)
	}
	if i := bytes.IndexAny(raw, "\r\n"); i >= 0 {
		e.note("warning: the value has a line break at byte %d; it cannot be used in a header", i)
	}
	return secret.NewValue(raw), nil
}

func readFile(name string) ([]byte, error) {
	f, err := localfile.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, maxValue+3))
}

func (e *env) prompt(question string) ([]byte, error) {
	_, _ = fmt.Fprint(e.Err, question)
	defer func() { _, _ = fmt.Fprintln(e.Err) }()
	in, ok := e.In.(*os.File)
	if !ok {
		return nil, errors.New("standard input is no terminal")
	}
	return term.ReadPassword(int(in.Fd()))
}

// trimNewline removes one line break at the end.
func trimNewline(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

func (e *env) secretGet() *cobra.Command {
	var store, version string
	var reveal bool
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print a secret's value to a pipe or file; the reading is on record",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isTerminal(e.Out) && !reveal {
				return fault.WithHint(errors.New("not showing a secret on a terminal"), "pipe it somewhere, or add --reveal")
			}
			return e.withStore(cmd.Context(), store, func(t *target) error {
				if err := t.record(cmd.Context(), "secret.get", args[0]); err != nil {
					return err
				}
				value, _, err := t.Get(cmd.Context(), args[0], version)
				if err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				_, err = e.values().Write(value.Reveal())
				return err
			})
		},
	}
	storeFlag(cmd, &store)
	cmd.Flags().StringVar(&version, "version", "", "an older version (default: the current one)")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show it on a terminal")
	return cmd
}

func (e *env) secretList() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List the names and versions of stored secrets",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withStore(cmd.Context(), store, func(t *target) error {
				l, err := t.lister()
				if err != nil {
					return err
				}
				list, err := l.List(cmd.Context(), strings.Join(args, ""))
				if err != nil {
					return err
				}
				return e.print(orEmpty(list), func(w io.Writer) error {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(t, "NAME\tVERSION\tSET")
					for _, one := range list {
						_, _ = cells(t, "%s\t%s\t%s\n", one.Path, one.Version.ID, when(one.Version.Created))
					}
					return t.Flush()
				})
			})
		},
	}
	storeFlag(cmd, &store)
	return cmd
}

// orEmpty makes JSON write [] for no elements.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// when writes a time for a person.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func (e *env) secretHistory() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show the versions of a secret",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withStore(cmd.Context(), store, func(t *target) error {
				l, err := t.lister()
				if err != nil {
					return err
				}
				list, err := l.History(cmd.Context(), args[0])
				if err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				return e.print(orEmpty(list), func(w io.Writer) error {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					_, _ = fmt.Fprintln(t, "VERSION\tSET\t")
					for _, v := range list {
						mark := ""
						if v.Current {
							mark = "current"
						}
						_, _ = cells(t, "%s\t%s\t%s\n", v.ID, when(v.Created), mark)
					}
					return t.Flush()
				})
			})
		},
	}
	storeFlag(cmd, &store)
	return cmd
}

func (e *env) secretRollback() *cobra.Command {
	var store string
	cmd := &cobra.Command{
		Use:   "rollback NAME VERSION",
		Short: "Make an older version current again, as a new version",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.withStore(cmd.Context(), store, func(t *target) error {
				w, err := t.writer()
				if err != nil {
					return err
				}
				if err := t.record(cmd.Context(), "secret.rollback", args[0]+"@"+args[1]); err != nil {
					return err
				}
				version, err := w.Rollback(cmd.Context(), args[0], args[1])
				if err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				return errors.Join(t.changed(cmd.Context()), e.tellVersion(args[0], version))
			})
		},
	}
	storeFlag(cmd, &store)
	return e.waits(cmd)
}

func (e *env) secretDelete() *cobra.Command {
	var store string
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a secret with all its versions, after confirmation",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := e.confirm("delete secret "+args[0]+" with all its versions", args[0]); err != nil {
					return err
				}
			}
			return e.withStore(cmd.Context(), store, func(t *target) error {
				w, err := t.writer()
				if err != nil {
					return err
				}
				if err := t.record(cmd.Context(), "secret.delete", args[0]); err != nil {
					return err
				}
				if err := w.Delete(cmd.Context(), args[0]); err != nil {
					return e.meantIn(cmd.Context(), t, err, args[0])
				}
				return errors.Join(t.changed(cmd.Context()), e.done("deleted", args[0]))
			})
		},
	}
	storeFlag(cmd, &store)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return e.waits(cmd)
}

// confirm asks a person to type a name. Without a terminal the answer is no.
func (e *env) confirm(what, name string) error {
	if !isTerminal(e.In) {
		return usage(fmt.Errorf("not going to %s without a confirmation", what), "add --yes")
	}
	_, _ = fmt.Fprintf(e.Err, "about to %s; type its name to go on: ", what)
	var answer string
	if _, err := fmt.Fscanln(e.In, &answer); err != nil || answer != name {
		return errors.New("not confirmed, nothing was changed")
	}
	return nil
}

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// maxValue is the largest secret the builtin store takes, in bytes.
const maxValue = 1 << 20

func (e *env) secretSet() *cobra.Command {
	var store, file string
	var keep bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Store a secret from standard input, a file or a hidden prompt",
		Long: `Stores a new version of a secret, which the next request uses. The value comes from standard input, from --file, or from a
hidden prompt on a terminal; never from an argument, where every process could read it. One line break at the end, which
editors and echo add, is removed, and so is the byte order mark of an editor on Windows, unless --keep-newline is given.`,
		Example: "  sallyport secret set openai < key.txt\n  op read op://prod/openai/key | sallyport secret set " +
			"openai",
		Args: noValue,
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := e.readValue(file, args[0], keep)
			if err != nil {
				return err
			}
			return e.withStore(cmd.Context(), store, func(t *target) error {
				return e.put(cmd.Context(), t, args[0], value)
			})
		},
	}
	storeFlag(cmd, &store)
	cmd.Flags().StringVar(&file, "file", "", "read the value from this file")
	cmd.Flags().BoolVar(&keep, "keep-newline", false,
		"keep a line break at the end, and a byte order mark at the beginning")
	return e.waits(cmd)
}

// noValue refuses a value among the arguments. It quotes none of them: one is a secret.
func noValue(cmd *cobra.Command, args []string) error {
	if len(args) > 1 || len(args) == 1 && strings.Contains(args[0], "=") {
		return usage(errors.New("a value does not go among the arguments: other processes can read it there, and it "+
			"is in your shell's history now"),
			"take it out of the history, or better, make a new key; then give it to standard input: `sallyport "+
				"secret set NAME < key.txt`, or to the hidden prompt")
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
		raw, err = io.ReadAll(io.LimitReader(e.In, maxValue+slack+1))
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
	return io.ReadAll(io.LimitReader(f, maxValue+slack+1))
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

// slack is how much trimNewline removes at the most, in bytes.
const slack = int64(len("\ufeff\r\n"))

// trimNewline removes what editors and shells add to a text: a byte order mark (Windows) and one line break at the end.
func trimNewline(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

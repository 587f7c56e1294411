package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sallyport/internal/masterkey"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

func (e *env) keyGenerate() *cobra.Command {
	var out, to string
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Make a master key: to standard output, a new file, or a store",
		Long: `Makes a master key for n8n: 32 random bytes as base64, without a line break. Without a flag it goes to standard output; with
--out to a new file of mode 0600; with --to straight into a store, so that nobody sees it. A file or secret that is there is
never overwritten: the key in it may be the only one that opens a database.

It is for an n8n that has encrypted nothing yet. An n8n that has refuses to start with another key, or cannot read its
credentials.`,
		Example: "  sallyport key generate --out n8n.key\n  sallyport key generate --to builtin/n8n/master",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case out != "" && to != "":
				return usage(errors.New("--out and --to are two places for one key"), "name one of them")
			case to != "" || cmd.Flags().Changed("to"):
				return e.keyToStore(cmd.Context(), to)
			case out != "" || cmd.Flags().Changed("out"):
				return e.keyToFile(out)
			}
			return e.keyToOutput(masterkey.Generate())
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write it to this file, which must not be there")
	cmd.Flags().StringVar(&to, "to", "", "put it into a store: STORE/NAME")
	return cmd
}

// keyToOutput prints a key bare, so that a pipe or a file gets nothing beside it.
func (e *env) keyToOutput(key secret.Value) error {
	return e.print(map[string]string{"key": string(key.Reveal())}, func(w io.Writer) error {
		end := ""
		if isTerminal(e.Out) {
			end = "\n"
		}
		_, err := fmt.Fprintf(w, "%s%s", key.Reveal(), end)
		return err
	})
}

func (e *env) keyToFile(path string) error {
	if path == "" {
		return usage(errors.New("--out names no file"), "for example --out n8n.key")
	}
	if err := masterkey.WriteFile(path, masterkey.Generate()); err != nil {
		return err
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("naming the new file: %w", err)
	}
	return e.print(map[string]string{"file": full}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s holds a new master key; n8n reads it with %s=%s\n", path,
			environment.KeyFileName, full)
		return err
	})
}

func (e *env) keyToStore(ctx context.Context, to string) error {
	store, name, _ := strings.Cut(to, "/")
	if store == "" || name == "" {
		return usage(fmt.Errorf("--to %q names no secret", to), "want STORE/NAME, for example builtin/n8n/master")
	}
	return e.withStore(ctx, store, func(t *target) error {
		w, ok := t.Store.(masterkey.Store)
		if !ok {
			return t.lacks("be written to")
		}
		if err := t.record(ctx, "key.generate", name); err != nil {
			return err
		}
		version, err := masterkey.Put(ctx, w, name, masterkey.Generate())
		if err != nil {
			return err
		}
		return errors.Join(t.changed(ctx), e.tellVersion(t.label(name), version))
	})
}

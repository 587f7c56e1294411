package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// importOptions are the flags of secret import.
type importOptions struct {
	from, to  string
	only      []string
	all       bool
	dryRun    bool
	overwrite bool
}

func (e *env) secretImport() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import --from env-file|n8n|store SOURCE",
		Short: "Move secrets that exist into a store, prove that they are there, and tell what may now be deleted",
		Long: `Moves secrets into a store. SOURCE is a file, "-" for standard input, or for --from store a reference whose path is the
beginning of the names: ref+old://secret/n8n/.

env-file takes the variables whose names say secret (PASSWORD, TOKEN, KEY, …) and URLs with a password in them; --only names
others, --all takes every one. n8n takes what "n8n export:credentials --all --decrypted --output=FILE" wrote: one secret per
credential, named after it, its value the JSON of its fields (ref+builtin://NAME#field).

Each secret is written, read back and compared. What is there already with the same value is left alone, so the command can be
interrupted and run again; another value is never overwritten without --overwrite. No value is printed, and nothing is deleted.`,
		Example: "  sallyport secret import --from env-file .env --dry-run\n  sallyport secret import --from n8n " +
			"credentials.json --to corp/secret/n8n\n" +
			"  sallyport secret import --from store ref+old://secret/n8n/ --to corp/secret/n8n",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.with(cmd.Context(), func(s *app.State) error { return e.importFrom(cmd.Context(), s, o, args[0]) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "what SOURCE is: env-file, n8n or store")
	f.StringVar(&o.to, "to", secret.Builtin, "the store, and what names begin with there: STORE[/PREFIX]")
	f.StringSliceVar(&o.only, "only", nil, "only these variables, credentials or paths")
	f.BoolVar(&o.all, "all", false, "every variable of an env-file")
	f.BoolVar(&o.dryRun, "dry-run", false, "only say what would be done")
	f.BoolVar(&o.overwrite, "overwrite", false, "write a new version where another value is")
	return e.waits(cmd)
}

func (e *env) importFrom(ctx context.Context, s *app.State, o importOptions, source string) error {
	store, prefix, _ := strings.Cut(o.to, "/")
	t, err := openTarget(ctx, s, store)
	if err != nil {
		return err
	}
	if _, err := t.writer(); err != nil {
		return err
	}
	found, err := e.importSource(ctx, s, o, source)
	if err != nil {
		return err
	}
	im := &importer{target: t, options: o}
	report := importReport{DryRun: o.dryRun, Left: orEmpty(found.left), Deletable: []string{}, Secrets: []imported{}}
	var errs []error
	for _, one := range found.list {
		done, err := im.one(ctx, one, pathOf(prefix, one.name))
		report.Secrets = append(report.Secrets, done)
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil || errors.Is(err, secret.ErrUnavailable) {
			break
		}
	}
	if im.wrote {
		errs = append(errs, t.changed(context.WithoutCancel(ctx)))
	}
	report.Deletable = append(report.Deletable, found.deletable(report)...)
	return errors.Join(append([]error{e.tellImport(report)}, errs...)...)
}

// pathOf joins the prefix with a name.
func pathOf(prefix, name string) string {
	if prefix = strings.TrimSuffix(prefix, "/"); prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// What became of one secret.
const (
	importSame     = "same"
	importNew      = "new"     // a dry run would write it
	importWritten  = "written" // and read back
	importDiffers  = "differs"
	importReplaced = "replaced"
	importUnproven = "unproven" // written, and not to be read from here
	importFailed   = "failed"
)

// importReport is what the command prints.
type importReport struct {
	DryRun    bool       `json:"dry_run"`
	Secrets   []imported `json:"secrets"`
	Left      []string   `json:"left"`      // what was not taken, and why
	Deletable []string   `json:"deletable"` // what the imported secrets made superfluous
}

type imported struct {
	Name      string `json:"name"`
	From      string `json:"from"`
	Reference string `json:"reference"`
	Result    string `json:"result"`
	Version   string `json:"version,omitempty"`
}

// there tells that the store has the value for certain.
func (i imported) there() bool {
	return i.Result == importSame || i.Result == importWritten || i.Result == importReplaced
}

// importer writes secrets to a target.
type importer struct {
	*target
	options importOptions
	wrote   bool
}

// one moves a secret to path.
func (im *importer) one(ctx context.Context, item importItem, path string) (imported, error) {
	done := imported{
		Name: path, From: item.from, Reference: secret.Ref{Store: im.name, Path: path}.String(),
		Result: importFailed,
	}
	value, err := item.load(ctx)
	if err != nil {
		return done, err
	}
	old, version, err := im.Get(ctx, path, "")
	switch {
	case errors.Is(err, secret.ErrNotFound):
		done.Result = importNew
	case err != nil:
		return done, err
	case same(old, value):
		done.Result, done.Version = importSame, version.ID
		return done, nil
	default:
		done.Result, done.Version = importDiffers, version.ID
		if !im.options.overwrite {
			return done, fault.WithHint(fmt.Errorf("importing %s: %s has another value already", item.from,
				done.Reference), "compare the two, then add --overwrite or choose another name with --to")
		}
	}
	if im.options.dryRun {
		return done, nil
	}
	return im.write(ctx, done, value)
}

// write puts the value, reads it back and compares.
func (im *importer) write(ctx context.Context, done imported, value secret.Value) (imported, error) {
	result := map[string]string{importNew: importWritten, importDiffers: importReplaced}[done.Result]
	seen := done.Version
	done.Result = importFailed
	if err := im.record(ctx, "secret.import", done.Name); err != nil {
		return done, err
	}
	version, err := im.put(ctx, done.Name, value, seen)
	if err != nil {
		return done, err
	}
	im.wrote = true
	back, _, err := im.Get(ctx, done.Name, "")
	switch {
	case errors.Is(err, secret.ErrDenied):
		done.Result, done.Version = importUnproven, version.ID
		return done, fault.WithHint(fmt.Errorf("verifying %s, which is written: %w", done.Reference, err),
			"keep the source until a consumer has read the secret")
	case err != nil:
		return done, fmt.Errorf("verifying: %w", err)
	}
	if !same(back, value) {
		return done, fault.WithHint(fmt.Errorf("verifying secret %q in %s: it does not come back as it was written",
			done.Name, im.name),
			"keep the source; does the store change values, or did someone else write at the same time?")
	}
	done.Result, done.Version = result, version.ID
	return done, nil
}

// put writes, with the store's own guard against someone else writing meanwhile where it has one.
func (im *importer) put(ctx context.Context, path string, value secret.Value, seen string) (secret.Version, error) {
	if c, ok := im.Store.(secret.CheckAndSetter); ok {
		return c.PutIf(ctx, path, value, seen)
	}
	w, err := im.writer()
	if err != nil {
		return secret.Version{}, err
	}
	return w.Put(ctx, path, value)
}

func (e *env) tellImport(r importReport) error {
	return e.print(r, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "RESULT\tFROM\tREFERENCE")
		for _, one := range r.Secrets {
			_, _ = cells(t, "%s\t%s\t%s\n", one.Result, one.From, one.Reference)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, l := range r.Left {
			_, _ = cells(w, "left alone: %s\n", l)
		}
		if r.DryRun {
			_, err := fmt.Fprintln(w, "nothing was written: this was a dry run")
			return err
		}
		if len(r.Deletable) > 0 {
			_, _ = fmt.Fprintln(w, "in the store and compared; these may now be deleted:")
		}
		for _, d := range r.Deletable {
			_, _ = cells(w, "  %s\n", d)
		}
		return nil
	})
}

// same tells whether two values are the same secret: byte for byte, or as JSON objects, which stores such as Vault and
// Kubernetes give back with their keys in another order.
func same(a, b secret.Value) bool {
	if a.Equal(b) {
		return true
	}
	x, okX := object(a)
	y, okY := object(b)
	return okX && okY && reflect.DeepEqual(x, y)
}

func object(v secret.Value) (map[string]any, bool) {
	dec := json.NewDecoder(bytes.NewReader(v.Reveal()))
	dec.UseNumber()
	var m map[string]any
	err := dec.Decode(&m)
	return m, err == nil && m != nil && !dec.More()
}

package entrypoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// maxFile bounds what a NAME_FILE variable names, in bytes. Linux takes an eighth of it.
const maxFile = 1 << 20

// stringPages is how many pages Linux takes for one argument or variable (MAX_ARG_STRLEN).
const stringPages = 32

// resolve asks for all references at once, and returns the program's environment. It can be called again.
func (p *plan) resolve(ctx context.Context, resolver Resolver, note func(string, ...any)) (*launch, error) {
	l := &launch{environ: slices.Clone(p.entries)}
	var failures VariableErrors
	set := func(index int, name string, ref secret.Ref, value secret.Value, err error) {
		if err == nil {
			err = p.check(name, value, note)
		}
		if err != nil {
			failures = append(failures, &VariableError{Name: name, Ref: ref, Err: err})
			return
		}
		l.environ[index] = name + "=" + string(value.Reveal())
		l.held = append(l.held, value)
	}
	results, err := p.ask(ctx, resolver)
	if err != nil {
		return nil, err
	}
	for _, w := range p.wants {
		res := results[w.ref]
		set(w.index, w.name, w.ref, res.Value, res.Err)
	}
	for _, f := range p.files {
		value, err := readSecretFile(f)
		set(f.index, f.name, secret.Ref{}, value, err)
	}
	l.environ = slices.DeleteFunc(l.environ, func(entry string) bool { return entry == "" })
	if p.guard != nil && len(failures) == 0 {
		failures = p.guard.check(lookup(l.environ), note)
	}
	return l, failures.orNil()
}

// ask resolves each reference once.
func (p *plan) ask(ctx context.Context, resolver Resolver) (map[secret.Ref]secret.Result, error) {
	refs := p.refs()
	if len(refs) == 0 {
		return nil, nil //nolint:nilnil // nothing was asked
	}
	results, err := resolver.Resolve(ctx, refs)
	if errors.Is(context.Cause(ctx), errTimeout) && len(results) == len(refs) {
		err = nil // each says for itself whether it came in time
		for i, res := range results {
			if res.Err != nil && fault.HintOf(res.Err) == "" {
				results[i].Err = fault.WithHint(res.Err, "`--timeout` says how long to wait")
			}
		}
	}
	if err == nil && len(results) != len(refs) {
		err = fmt.Errorf("resolving the environment: %d answers to %d questions", len(results), len(refs))
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	answers := make(map[secret.Ref]secret.Result, len(refs))
	for i, ref := range refs {
		answers[ref] = results[i]
	}
	return answers, nil
}

func (p *plan) refs() []secret.Ref {
	var refs []secret.Ref
	seen := make(map[secret.Ref]bool, len(p.wants))
	for _, w := range p.wants {
		if !seen[w.ref] {
			seen[w.ref] = true
			refs = append(refs, w.ref)
		}
	}
	return refs
}

// check refuses what an environment cannot hold, and tells of what is odd.
func (p *plan) check(name string, value secret.Value, note func(string, ...any)) error {
	b := value.Reveal()
	limit := stringPages*os.Getpagesize() - len(name) - len("=\x00")
	switch _, isRef, _ := secret.ParseAny(string(b)); {
	case bytes.IndexByte(b, 0) >= 0:
		return fault.WithHint(errors.New("the value has a NUL byte, which no environment can hold"),
			"store it in text form (base64, PEM), or hand it over as a file")
	case runtime.GOOS == "linux" && len(b) > limit:
		return fault.WithHint(fmt.Errorf("the value has %d bytes; Linux takes at most %d for this variable (E2BIG)",
			len(b), limit),
			"hand it over as a file; n8n reads "+name+fileSuffix+" with --files=none")
	case isRef && p.strict:
		return fault.WithHint(errors.New("the value is a reference itself; references in values are not followed"),
			"write the last reference into the variable")
	case isRef:
		note("warning: the value of %s is a reference itself; it is handed over as it is, not followed", name)
	case len(b) == 0:
		note("warning: the value of %s is empty", name)
	case bytes.ContainsAny(b, "\r\n"):
		note("warning: the value of %s has a line break; it is handed over as it is", name)
	}
	return nil
}

// readSecretFile reads what NAME_FILE names, as n8n does: trimmed.
func readSecretFile(f file) (secret.Value, error) {
	content, err := readBounded(f.path)
	if err != nil {
		return secret.Value{}, fault.WithHint(fmt.Errorf("reading the file that %s names: %w", f.name+fileSuffix, err),
			"mount the file, or take the variable away; --files=none leaves it to the program")
	}
	return secret.NewValue([]byte(environment.Trim(string(content)))), nil
}

func readBounded(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the operator names it; a FIFO that nobody writes to must not hold it up
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%q is not a regular file", path), err)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if len(content) > maxFile {
		return nil, fmt.Errorf("%q is larger than 1 MiB", path)
	}
	return content, err
}

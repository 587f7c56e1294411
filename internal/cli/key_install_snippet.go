package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/n8n/lint"
)

// checkSnippet tells the mistakes with the master key in a file.
func (e *env) checkSnippet(ctx context.Context, file string) error {
	content, err := readFile(file)
	if err != nil {
		return fmt.Errorf("reading the snippet: %w", err)
	}
	findings, checked, err := findMistakes(ctx, file, content)
	if err != nil {
		return err
	}
	if err := e.print(findings, func(w io.Writer) error {
		return tellFindings(w, file, findings, checked)
	}); err != nil || len(findings) == 0 {
		return err
	}
	return fault.WithExit(fmt.Errorf("%q has %s with n8n's master key", file, counted(len(findings), "mistake")),
		fault.ExitFindings)
}

// findMistakes is lint.Check, which is left to itself when ctx ends: a large file of YAML takes seconds.
func findMistakes(ctx context.Context, file string, content []byte) (findings []lint.Finding, checked int, err error) {
	type result struct {
		findings []lint.Finding
		checked  int
		err      error
	}
	done := make(chan result, 1)
	guard.Go("checking the snippet", func() {
		findings, checked := lint.Check(file, content)
		done <- result{findings: orEmpty(findings), checked: checked}
	}, func(why *fault.Panic) { done <- result{err: why} })
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case r := <-done:
		return r.findings, r.checked, errors.Join(r.err, ctx.Err())
	}
}

func tellFindings(w io.Writer, file string, findings []lint.Finding, checked int) error {
	switch {
	case checked == 0:
		_, err := fmt.Fprintf(w,
			"%s: nothing to check: it neither starts n8n in a form that is known, nor sets its master key\n", file)
		return err
	case len(findings) == 0:
		_, err := fmt.Fprintf(w, "%s: no mistake with n8n's master key\n", file)
		return err
	}
	for _, f := range findings {
		_, err := fmt.Fprintf(w, "%s:%d: %s %s\n", file, f.Line, f.Variable, f.Problem)
		if f.First != "" {
			_, err = fmt.Fprintf(w, "  first: %s\n", f.First)
		}
		if f.Fix != "" {
			_, err = fmt.Fprintf(w, "  write:\n    %s\n", strings.ReplaceAll(f.Fix, "\n", "\n    "))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

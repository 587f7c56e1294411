package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// printer shows a run to a person: one line per package, every failure in full as soon as its package ends, and at the
// end the skips with their reasons; those whose server or program is not here are counted by what is missing. On a
// terminal a line that overwrites itself tells how far it is.
type printer struct {
	out      io.Writer
	terminal bool
	packages int
}

func newPrinter(out io.Writer) *printer {
	return &printer{out: out, terminal: isTerminal(out)}
}

// isTerminal reports whether w is a character device, which is enough to decide about a progress line.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// show prints a package that ended; nil and packages without tests are no news.
func (p *printer) show(r *result) {
	if r == nil {
		return
	}
	p.packages++
	p.clear()
	for _, f := range r.failures {
		fmt.Fprintf(p.out, "\nFAILED %s\n%s\n", f.where, indent(f.output))
	}
	if ran := r.passed + len(r.failures) + len(r.skips); ran > 0 {
		word := "ok    "
		if len(r.failures) > 0 {
			word = "FAILED"
		}
		fmt.Fprintf(p.out, "%s %-46s %4d tests %7.1f s%s\n", word, r.pkg, ran, r.seconds, skippedOf(r))
	}
	if p.terminal {
		fmt.Fprintf(p.out, "%d packages done …", p.packages)
	}
}

// clear wipes the progress line.
func (p *printer) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// close prints what a person looks for at the end; the count is the last line.
func (p *printer) close(c *count) {
	p.clear()
	fmt.Fprintln(p.out)
	missing, others := sortSkips(c.skipped)
	for _, s := range others {
		fmt.Fprintf(p.out, "SKIPPED %s\n%s\n", s.where, indent(s.output))
	}
	if len(c.failing) > 0 {
		fmt.Fprintln(p.out, "failed (each is told in full above, or here when it is no test):")
	}
	for _, f := range c.failing {
		fmt.Fprintf(p.out, "  %s%s\n", f.where, reasonOutsideTests(f))
	}
	if c.total() == 0 {
		fmt.Fprintln(p.out, "no test ran")
	}
	for _, l := range missing {
		fmt.Fprintln(p.out, l)
	}
	fmt.Fprintln(p.out, c)
}

// skippedOf says how many of a package's tests were skipped, if any.
func skippedOf(r *result) string {
	if len(r.skips) == 0 {
		return ""
	}
	return fmt.Sprintf("  (%d skipped)", len(r.skips))
}

// reasonOutsideTests is the output of a failure of the run itself, which no package's end has shown.
func reasonOutsideTests(f finding) string {
	if !strings.HasPrefix(f.where, "go test ") {
		return ""
	}
	return ": " + strings.TrimSpace(f.output)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

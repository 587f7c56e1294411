package main

import (
	"fmt"
	"slices"
	"strings"
)

// event is one line of "go test -json"; see "go doc test2json" and "go help buildjson".
type event struct {
	Action      string  // run, output, pass, fail, skip, build-output, build-fail, …
	Package     string  // import path; empty for build events
	ImportPath  string  // build events only
	Test        string  // TestX/sub; empty for the package itself
	Output      string  // one line with its newline, or a part of one
	Elapsed     float64 // seconds
	FailedBuild string  // with a package's fail: the ImportPath whose build failed
}

// test is what is known of one test, or of a package's own output (name "").
type test struct {
	name    string
	outcome string // "", pass, fail, skip: "" while it runs
	output  strings.Builder
}

// suite is one package under test; its tests are in the order they began.
type suite struct {
	pkg   string
	tests []*test
	named map[string]*test
}

// finding is a failure or a skip, ready to be shown.
type finding struct {
	where  string // "pkg TestName", or the package alone
	output string
}

// result is a finished package.
type result struct {
	pkg      string
	seconds  float64
	passed   int
	failures []finding
	skips    []finding
}

// count adds up a run. It holds packages that still run, and the findings of those that are done.
type count struct {
	ci      bool // a skip is a failure
	suites  map[string]*suite
	builds  map[string]*strings.Builder // ImportPath → compiler output
	passed  int
	failing []finding
	skipped []finding
}

func newCount(ci bool) *count {
	return &count{ci: ci, suites: map[string]*suite{}, builds: map[string]*strings.Builder{}}
}

func (c *count) failed() int { return len(c.failing) }
func (c *count) total() int  { return c.passed + len(c.failing) + len(c.skipped) }

// String is the plain count: the last line that testcount prints.
func (c *count) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, len(c.failing), len(c.skipped))
}

// broke records a failure of the run itself.
func (c *count) broke(what string, err error) {
	c.failing = append(c.failing, finding{where: what, output: err.Error() + "\n"})
}

// add takes one event; when that ends a package, its result is returned, otherwise nil.
func (c *count) add(e event) *result {
	if e.Package == "" {
		c.addBuild(e)
		return nil
	}
	s := c.suites[e.Package]
	if s == nil {
		s = &suite{pkg: e.Package, named: map[string]*test{}}
		c.suites[e.Package] = s
	}
	switch t := s.test(e.Test); e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.outcome = e.Action
		if e.Test == "" {
			return c.finish(s, e)
		}
	}
	return nil
}

// addBuild collects what the compiler says; the package's fail event that follows names it.
func (c *count) addBuild(e event) {
	if e.Action != "build-output" {
		return
	}
	if c.builds[e.ImportPath] == nil {
		c.builds[e.ImportPath] = &strings.Builder{}
	}
	c.builds[e.ImportPath].WriteString(e.Output)
}

func (s *suite) test(name string) *test {
	t := s.named[name]
	if t == nil {
		t = &test{name: name}
		s.named[name] = t
		s.tests = append(s.tests, t)
	}
	return t
}

// finish turns a package that ended into its result, and adds that to the count.
func (c *count) finish(s *suite, end event) *result {
	delete(c.suites, s.pkg)
	r := &result{pkg: s.pkg, seconds: end.Elapsed}
	for _, t := range s.tests {
		if t.name != "" {
			c.sort(r, s, t)
		}
	}
	if end.Action == "fail" && len(r.failures) == 0 {
		r.failures = append(r.failures, finding{where: s.pkg, output: c.wholePackage(s, end)})
	}
	c.passed += r.passed
	c.failing = append(c.failing, r.failures...)
	c.skipped = append(c.skipped, r.skips...)
	return r
}

// sort puts one test of a finished package where it counts. A parent's outcome that its subtests explain counts
// nowhere.
func (c *count) sort(r *result, s *suite, t *test) {
	found := finding{where: s.pkg + " " + t.name, output: readable(t.output.String())}
	switch outcome, children := t.outcome, s.childOutcomes(t.name); {
	case outcome == "":
		found.output += "(began and never ended)\n" + readable(s.test("").output.String())
		r.failures = append(r.failures, found)
	case slices.Contains(children, outcome), outcome == "pass" && len(children) > 0:
	case outcome == "pass":
		r.passed++
	case outcome == "skip" && c.ci:
		found.output += "(in CI nothing is skipped)\n"
		r.failures = append(r.failures, found)
	case outcome == "skip":
		r.skips = append(r.skips, found)
	default:
		found.output += s.unattributed()
		r.failures = append(r.failures, found)
	}
}

// childOutcomes lists how the subtests below name ended.
func (s *suite) childOutcomes(name string) []string {
	var outcomes []string
	for _, t := range s.tests {
		if strings.HasPrefix(t.name, name+"/") {
			outcomes = append(outcomes, t.outcome)
		}
	}
	return outcomes
}

// unattributed is the package's own output when it tells of a crash: a panic's stack is not always told to a test.
func (s *suite) unattributed() string {
	if own := readable(s.test("").output.String()); strings.Contains(own, "panic:") ||
		strings.Contains(own, "goroutine ") {
		return own
	}
	return ""
}

// wholePackage is all there is to say of a package that failed without a failing test: it did not build, TestMain
// failed, or the process died.
func (c *count) wholePackage(s *suite, end event) string {
	var all strings.Builder
	if built := c.builds[end.FailedBuild]; built != nil {
		all.WriteString(built.String())
	}
	for _, t := range s.tests {
		all.WriteString(readable(t.output.String()))
	}
	return all.String()
}

// readable drops the lines with which go test announces tests, and keeps everything a test said.
func readable(output string) string {
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "=== ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

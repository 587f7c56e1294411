package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/testkit"
)

// TestRunCountsARealGoTest runs go test over a small module in which everything goes wrong that can.
func TestRunCountsARealGoTest(t *testing.T) {
	t.Setenv("CI", "")
	dir := module(t, map[string]string{
		"good/good_test.go": `package good
import "testing"
func TestOne(t *testing.T) {}
func TestTable(t *testing.T) { t.Run("a", func(*testing.T) {}); t.Run("b", func(*testing.T) {}) }
func TestSkipped(t *testing.T) { t.Skip("no moon tonight") }`,
		"bad/bad_test.go": `package bad
import "testing"
func TestTable(t *testing.T) { t.Run("a", func(*testing.T) {}); t.Run("b", func(t *testing.T) { t.Error("got 1, want 2") }) }`,
		"panics/panics_test.go": `package panics
import "testing"
func TestPanics(t *testing.T) { panic("out of cheese") }`,
		"exits/exits_test.go": `package exits
import ("os"; "testing")
func TestMain(m *testing.M) { println("no database here"); os.Exit(3) }
func TestNever(t *testing.T) {}`,
		"broken/broken_test.go": `package broken
import "testing"
func TestBroken(t *testing.T) { undefined() }`,
	})
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{
		"-C", dir, "./good", "./bad", "--", "./panics", "./exits",
		"./broken",
	}, &out, &errs)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	// Passed: TestOne, TestTable/a, TestTable/b of good, TestTable/a of bad.
	if got, want := lastLine(out.String()), "4 passed, 4 failed, 1 skipped"; got != want {
		t.Errorf("last line %q, want %q", got, want)
	}
	for _, want := range []string{
		"got 1, want 2", "out of cheese", "no database here", "undefined: undefined", "no moon tonight",
		"FAILED crew/bad TestTable/b", "FAILED crew/panics TestPanics", "FAILED crew/exits\n", "FAILED crew/broken\n",
		"SKIPPED crew/good TestSkipped",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s\nerrors:\n%s", &out, &errs)
	}
}

func TestRunRefusesARunWithoutTests(t *testing.T) {
	t.Setenv("CI", "")
	for name, c := range map[string]struct {
		packages string
		wantLast string
	}{
		"a package without tests": {"./empty", "0 passed, 0 failed, 0 skipped"},
		"a package that is not":   {"./nowhere", "0 passed, 1 failed, 0 skipped"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := module(t, map[string]string{"empty/empty.go": "package empty"})
			var out, errs bytes.Buffer
			if code := run(t.Context(), []string{"-C", dir, c.packages}, &out, &errs); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if got := lastLine(out.String()); got != c.wantLast {
				t.Errorf("last line %q, want %q", got, c.wantLast)
			}
		})
	}
}

// TestSettingsOfAGroup: they are for that group alone.
func TestSettingsOfAGroup(t *testing.T) {
	t.Setenv("CI", "")
	dir := module(t, map[string]string{"moon/moon_test.go": `package moon
import ("os"; "testing")
func TestMoon(t *testing.T) { if os.Getenv("MOON") != "full" { t.Error("it is dark") } }`})
	var out, errs bytes.Buffer
	run(t.Context(), []string{"-C", dir, "MOON=full", "WEATHER=", "./moon", "--", "-count=1", "./moon"}, &out, &errs)
	if got, want := lastLine(out.String()), "1 passed, 1 failed, 0 skipped"; got != want {
		t.Errorf("last line %q, want %q\n%s%s", got, want, &out, &errs)
	}
}

func TestRunWithoutPackagesIsMisuse(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), nil, &out, &errs); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}

func TestCount(t *testing.T) {
	for name, c := range map[string]struct {
		ci     bool
		events string
		want   string
	}{
		"a parent that fails beside passing subtests counts": {
			events: `{"Action":"pass","Package":"p","Test":"T/a"} {"Action":"fail","Package":"p","Test":"T"} {"Action":"fail","Package":"p"}`,
			want:   "1 passed, 1 failed, 0 skipped",
		},
		"a parent whose subtest fails does not count again": {
			events: `{"Action":"fail","Package":"p","Test":"T/a"} {"Action":"fail","Package":"p","Test":"T"} {"Action":"fail","Package":"p"}`,
			want:   "0 passed, 1 failed, 0 skipped",
		},
		"a parent that passes over skipped subtests does not count": {
			events: `{"Action":"skip","Package":"p","Test":"T/a"} {"Action":"pass","Package":"p","Test":"T"} {"Action":"pass","Package":"p"}`,
			want:   "0 passed, 0 failed, 1 skipped",
		},
		"a test without an end failed": {
			events: `{"Action":"run","Package":"p","Test":"T"} {"Action":"fail","Package":"p"}`,
			want:   "0 passed, 1 failed, 0 skipped",
		},
		"a skip passes on a laptop": {
			events: `{"Action":"skip","Package":"p","Test":"T"} {"Action":"pass","Package":"p"}`,
			want:   "0 passed, 0 failed, 1 skipped",
		},
		"a skip fails in CI": {
			ci:     true,
			events: `{"Action":"skip","Package":"p","Test":"T"} {"Action":"pass","Package":"p"}`,
			want:   "0 passed, 1 failed, 0 skipped",
		},
		"a skipped subtest fails in CI, and its parent does not count again": {
			ci:     true,
			events: `{"Action":"skip","Package":"p","Test":"T/a"} {"Action":"skip","Package":"p","Test":"T"} {"Action":"pass","Package":"p"}`,
			want:   "0 passed, 1 failed, 0 skipped",
		},
	} {
		t.Run(name, func(t *testing.T) {
			count := newCount(c.ci)
			if _, err := readEvents(strings.NewReader(c.events), func(e event) { count.add(e) }); err != nil {
				t.Fatal(err)
			}
			if got := count.String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestLeftOut: what a person sees at the end where servers are not here.
func TestLeftOut(t *testing.T) {
	skip := func(name, reason string) string {
		return `{"Action":"output","Package":"p","Test":"` + name + `","Output":"    x_test.go:1: ` + reason + `\n"}
			{"Action":"skip","Package":"p","Test":"` + name + `"}`
	}
	const vault = "left out: Vault is not here: `make servers` gets it (about 5 minutes)"
	events := skip("TestA", vault) + skip("TestB", "no moon tonight") + skip("TestC/x", vault) +
		skip("TestD", "left out: initdb is not here: apt-get install postgresql") +
		`{"Action":"pass","Package":"p","Test":"TestE"} {"Action":"pass","Package":"p","Elapsed":1.5}`
	count := newCount(false)
	var out bytes.Buffer
	p := newPrinter(&out)
	if _, err := readEvents(strings.NewReader(events), func(e event) { p.show(count.add(e)) }); err != nil {
		t.Fatal(err)
	}
	p.close(count)
	want := "ok     p                                                 5 tests     1.5 s  (4 skipped)\n\n" +
		"SKIPPED p TestB\n        x_test.go:1: no moon tonight\n" +
		"2 tests were left out because Vault is not here: `make servers` gets it (about 5 minutes)\n" +
		"1 test was left out because initdb is not here: apt-get install postgresql\n" +
		"1 passed, 0 failed, 4 skipped\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestLeftOutIsWhatTestkitSays runs a test that needs a program which nobody has.
func TestLeftOutIsWhatTestkitSays(t *testing.T) {
	t.Setenv("CI", "")
	var said string
	testkit.RequireTool(skipper{TB: t, said: &said}, "the moon", false, "wait until tonight")
	missing, others := sortSkips([]finding{{where: "p TestA", output: "    x_test.go:1: " + said + "\n"}})
	want := []leftOut{{cause: "the moon is not here", hint: "wait until tonight", tests: 1}}
	if diff := cmp.Diff(want, missing, cmp.AllowUnexported(leftOut{})); diff != "" || others != nil {
		t.Errorf("%q: %s%v", said, diff, others)
	}
}

// skipper keeps the reason of a skip, and skips nothing.
type skipper struct {
	testing.TB
	said *string
}

func (s skipper) Skipf(format string, args ...any) { *s.said = fmt.Sprintf(format, args...) }

func TestReadEventsRefusesWhatIsNoEvent(t *testing.T) {
	if _, err := readEvents(strings.NewReader("panic: oh no"), func(event) {}); err == nil {
		t.Error("no error for a stream that is not JSON")
	}
}

func TestGroups(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"a b", "[[a b]]"},
		{"-race a -- b -- c d", "[[-race a] [b] [c d]]"},
		{"-- a -- --", "[[a]]"},
		{"", "[]"},
	} {
		got := groups(strings.Fields(c.args))
		var text []string
		for _, g := range got {
			text = append(text, "["+strings.Join(g, " ")+"]")
		}
		if diff := cmp.Diff(c.want, "["+strings.Join(text, " ")+"]"); diff != "" {
			t.Errorf("groups(%q): %s", c.args, diff)
		}
	}
}

// module writes a Go module named crew and returns its directory.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module crew\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[len(lines)-1]
}

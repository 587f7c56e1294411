package architecture_test

import (
	"fmt"
	"go/scanner"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// maxColumns is how wide a line of code is at the most, with tabs of four columns.
const maxColumns = 120

// TestWidth: no line of code is wider than that. What cannot be broken without saying something else may be: text
// between backquotes, which struct tags are too, a long string without a blank, a directive, and one case of a test's
// table.
func TestWidth(t *testing.T) {
	for name, text := range textsOf(t, ".go") {
		for _, line := range wide(name, text) {
			t.Error(line)
		}
	}
}

// TestWide holds the check itself to made-up lines.
func TestWide(t *testing.T) {
	long := strings.Repeat("word ", 30)
	for text, want := range map[string]int{
		"// " + long:                                                  1,
		"\t\t// " + strings.Repeat("x", 115):                          0, // one word
		"var a = \"" + long + "\"":                                    1,
		"var a = `" + long + "`":                                      0,
		"var a = `\n" + long + "\n`":                                  0,
		"//nolint:x // " + long:                                       0,
		"var a = 1 //nolint:x // " + long:                             0,
		"\t{\"" + long + "\"},":                                       0,
		"// https://" + strings.Repeat("x/", 100):                     0,
		"var a = " + strings.Repeat("1 + ", 40) + "1 //nolint:x // y": 1,
	} {
		if got := wide("a_test.go", "package a\n"+text+"\n"); len(got) != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
	if got := wide("a.go", "package a\n\t{\""+long+"\"},\n"); len(got) != 1 {
		t.Errorf("a table of no test: got %q", got)
	}
}

// wide names the lines of a file that are too wide, one for each.
func wide(name, text string) (found []string) {
	raw := rawLines(text)
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "//nolint")
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "//"))
		switch row := strings.TrimSpace(line); {
		case columns(line) <= maxColumns || raw[n] || len(words) < 2 || strings.HasPrefix(line, "//go:"):
		case strings.HasSuffix(name, "_test.go") && strings.HasSuffix(row, ",") && strings.ContainsAny(row[:1], "{\"`"):
		case slices.ContainsFunc(words, func(w string) bool { return len(w) > 80 }): // an address, a key
		default:
			found = append(found, fmt.Sprintf("%s:%d: %d columns: break the line after %d", name, n,
				columns(line), maxColumns))
		}
	}
	return found
}

// columns counts a tab as four.
func columns(line string) int { return len([]rune(line)) + 3*strings.Count(line, "\t") }

// rawLines are those on which there is text between backquotes, or a part of it, counted from one.
func rawLines(text string) map[int]bool {
	lines := make(map[int]bool)
	file := token.NewFileSet().AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), nil, 0)
	for {
		pos, tok, literal := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.STRING && strings.HasPrefix(literal, "`") {
			for i := range strings.Count(literal, "\n") + 1 {
				lines[file.Line(pos)+i] = true
			}
		}
	}
}

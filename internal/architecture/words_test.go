package architecture_test

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// wordsFile has the words itself.
const wordsFile = "internal/architecture/words_test.go"

// replacedWords are words that the field does not use for what they said here, and what is written instead. A space
// stands for any, and for a comment that goes on in its next line.
var replacedWords = map[string]string{
	`(?:in|into|out of) force`: "active, or valid",
	`anew`:                     "again",
	`(?:am|is|are|was|were|be|been|being) had`: "obtained, minted or resolved",
	`belong(?:s|ed|ing)? into`:                 "belongs in, or belongs to",
	`somebody(?: else)?`:                       "another process, another user, or who it is",
	`trouble[sd]?`:                             "error, failure, or what it is",
}

// TestWords: a word that has been replaced does not come back, in pages, strings or comments. Names of JSON and of
// paths stay as they are, since others may have built on them.
func TestWords(t *testing.T) {
	for name, text := range textsOf(t, ".md", ".go", ".yaml", ".yml", ".sh", ".tsv", ".txtar", ".golden") {
		if name == wordsFile {
			continue
		}
		for _, found := range replaced(name, text) {
			t.Error(found)
		}
	}
}

// TestReplaced holds the check itself to made-up texts.
func TestReplaced(t *testing.T) {
	for text, want := range map[string]string{
		"package a // it is had\n// anew\n":                       `a.go:1: "is had"`,
		"package a\n\n// as it\n// stays in\n\t// force\n":        `a.go:4: "in`,
		"package a\n\nvar a = \"Somebody else has it\"\n":         `a.go:3: "Somebody else"`,
		"package a\n\nvar trouble struct{ s int `doc:\"anew\"` }": `a.go:3: "anew"`,
	} {
		if found := replaced("a.go", text); len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("%q: found %q, want %s", text, found, want)
		}
	}
	for _, text := range []string{
		"package a\n\nvar trouble, anew int // he is\n\nvar had = 1",
		"package a\n\ntype a struct{ b string `json:\"trouble,omitempty\"` }\n",
		"package a\n\nvar troubleshooting = \"/troubles\" // troubleshooting\n",
	} {
		if found := replaced("a.go", text); len(found) > 0 {
			t.Errorf("%q: found %q", text, found)
		}
	}
}

// replaced says where a text has a replaced word, a line for each.
func replaced(name, text string) (found []string) {
	if path.Ext(name) == ".go" {
		text = prose(text)
	}
	for word, instead := range replacedWords {
		word = `(?i)\b` + strings.ReplaceAll(word, " ", `\s+(?://\s*)?`) + `\b`
		for _, at := range regexp.MustCompile(word).FindAllStringIndex(text, -1) {
			line := 1 + strings.Count(text[:at[0]], "\n")
			found = append(found, fmt.Sprintf("%s:%d: %q: write %s", name, line, text[at[0]:at[1]], instead))
		}
	}
	return found
}

var fixedNames = regexp.MustCompile(`json:"[^"]*"|^"(?:[A-Z]+ )?(?:/[\w-]+)+"$`)

// prose is a file of Go in which everything is blank but comments and strings; every line stays where it is.
func prose(text string) string {
	blank := bytes.Repeat([]byte(" "), len(text))
	for i, b := range []byte(text) {
		if b == '\n' {
			blank[i] = b
		}
	}
	files := token.NewFileSet()
	var s scanner.Scanner
	s.Init(files.AddFile("", -1, len(text)), []byte(text), nil, scanner.ScanComments)
	for {
		at, kind, written := s.Scan()
		switch kind {
		case token.EOF:
			return string(blank)
		case token.COMMENT, token.STRING:
			written = fixedNames.ReplaceAllStringFunc(written, func(s string) string {
				return strings.Repeat(" ", len(s))
			})
			copy(blank[int(at)-1:], written)
		}
	}
}

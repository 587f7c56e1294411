package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// fragment is one change as a user notices it.
type fragment struct {
	file string
	kind string
	text string // one paragraph
}

// kinds are what a change can be, in the order of the page, with their headings.
var kinds = []struct{ name, heading string }{
	{"security", "Security"}, {"added", "Added"}, {"changed", "Changed"}, {"fixed", "Fixed"}, {"removed", "Removed"},
}

const (
	folder   = "changelog"
	page     = "CHANGELOG.md"
	releases = "<!-- releases -->\n" // what the next release is written behind
	width    = 120
)

// load reads the fragments, sorted by their files' names. README.md is no fragment.
func load(root string) ([]fragment, error) {
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil {
		return nil, err
	}
	var fragments []fragment
	var broken []error
	for _, entry := range entries {
		if entry.Name() == "README.md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		one, err := parse(entry.Name(), string(text))
		if err != nil {
			broken = append(broken, fmt.Errorf("%s/%s: %w", folder, entry.Name(), err))
		}
		fragments = append(fragments, one)
	}
	return fragments, errors.Join(broken...)
}

var fileName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*\.md$`)

// parse reads "KIND: text": one paragraph of whole sentences.
func parse(file, text string) (fragment, error) {
	kind, rest, colon := strings.Cut(text, ": ")
	rest = strings.TrimSuffix(rest, "\n")
	known := slices.ContainsFunc(kinds, func(k struct{ name, heading string }) bool { return k.name == kind })
	long := slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool { return len([]rune(line)) > width })
	switch {
	case !fileName.MatchString(file):
		return fragment{}, errors.New("want a name of small letters, digits and single dashes, that ends in .md")
	case !colon || !known:
		return fragment{},
			errors.New("want security, added, changed, fixed or removed, a colon and a blank at the beginning")
	case strings.TrimSpace(rest) != rest || strings.Contains(rest, "\n\n") || rest == "":
		return fragment{}, errors.New("want one paragraph, without blank lines and without blanks at its ends")
	case !strings.HasSuffix(rest, "."):
		return fragment{}, errors.New("want whole sentences, with a period at the end")
	case long:
		return fragment{}, fmt.Errorf("want lines of at most %d characters", width)
	}
	return fragment{file: file, kind: kind, text: rest}, nil
}

// join is the fragments as the page shows them: a heading for each kind that there is.
func join(fragments []fragment) string {
	var text strings.Builder
	for _, kind := range kinds {
		heading := "### " + kind.heading + "\n\n"
		for _, f := range fragments {
			if f.kind == kind.name {
				text.WriteString(heading + "- " + strings.ReplaceAll(f.text, "\n", "\n  ") + "\n")
				heading = ""
			}
		}
		if heading == "" {
			text.WriteString("\n")
		}
	}
	return text.String()
}

// write puts section before the older releases, and then removes the fragments: a crash between leaves both, never
// neither.
func write(root string, fragments []fragment, section string) error {
	name := filepath.Join(root, page)
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, after, found := strings.Cut(string(text), releases)
	if !found {
		return fmt.Errorf("%s has no line %q", page, strings.TrimSpace(releases))
	}
	page := before + releases + "\n" + section + strings.TrimPrefix(after, "\n")
	if err := os.WriteFile(name, []byte(page), 0o644); err != nil { //nolint:gosec // a page of the repository
		return err
	}
	for _, f := range fragments {
		if err := os.Remove(filepath.Join(root, folder, f.file)); err != nil {
			return err
		}
	}
	return nil
}

package httpdriver

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

//go:embed provider/*.yaml provider/*.md
var files embed.FS

// Providers lists the providers that Sallyport knows, sorted.
func Providers() []string {
	names, _ := fs.Glob(files, "provider/*.yaml") // the pattern is right
	for i, name := range names {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(name, "provider/"), ".yaml")
	}
	slices.Sort(names)
	return names
}

func provider(name string) (*Definition, error) {
	text, err := files.ReadFile("provider/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	d, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", name, err)
	}
	return d, nil
}

// unchecked is said of a provider whose definition has no date.
const unchecked = `
Single fields and texts of errors of this definition have not been held against the vendor's reference yet: try it before you rely on it.
`

// wholePage is the page of the kind, with a section for each provider.
func wholePage() string {
	var b strings.Builder
	b.WriteString(page)
	for _, name := range Providers() {
		text, err := files.ReadFile("provider/" + name + ".md")
		if err != nil {
			continue // a test says so
		}
		b.WriteString("\n" + string(text))
		switch d, err := provider(name); {
		case err != nil: // a test says so
		case d.Checked == "":
			b.WriteString(unchecked)
		default:
			b.WriteString("\nHeld against " + d.Against + " on " + d.Checked + ".\n")
		}
	}
	return b.String()
}

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
		definition, _ := files.ReadFile("provider/" + name + ".yaml")
		if checked := line(definition, "checked"); checked != "" {
			b.WriteString("\nHeld against " + line(definition, "against") + " on " + checked + ".\n")
			continue
		}
		b.WriteString(unchecked)
	}
	return b.String()
}

// line is the text of a key at the top of a definition. To parse them all for the page would take as long as the rest
// of a command that needs none of them.
func line(definition []byte, key string) string {
	for one := range strings.Lines(string(definition)) {
		if text, found := strings.CutPrefix(one, key+": "); found {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

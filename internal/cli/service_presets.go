package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/internal/config/preset"
	"sallyport/internal/config/wording"
)

func (e *env) servicePresets() *cobra.Command {
	return &cobra.Command{
		Use:   "presets [WORD]",
		Short: "List the APIs that ship with Sallyport, or those a word is found in",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := preset.ReadCatalogue()
			if err != nil {
				return err
			}
			word := strings.Join(args, "")
			found := findPresets(e.kinds, c, word)
			if len(found.lines) == 0 {
				e.noPreset(word)
			}
			return e.print(found.lines, found.table)
		},
	}
}

// noPreset tells a person that a word is found in none, and what was probably meant.
func (e *env) noPreset(word string) {
	text := fmt.Sprintf("no preset has %q in its name, title or host; docs/credentials.md shows how an API without "+
		"one is written", word)
	if near := wording.Nearest(word, presetNames(context.Background(), e)); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	e.note("%s", text)
}

// presetLine is one preset, or a credential type of n8n that has none.
type presetLine struct {
	Name       string   `json:"name,omitempty"`
	Title      string   `json:"title"`
	Upstream   string   `json:"upstream,omitempty"`
	Example    string   `json:"upstream_example,omitempty"` // where each customer has an upstream of their own
	Credential string   `json:"credential,omitempty"`       // kind and place
	N8N        []string `json:"n8n"`
	Why        string   `json:"why_not,omitempty"`
	Docs       string   `json:"docs,omitempty"`
}

type foundPresets struct{ lines []presetLine }

// findPresets looks the word up in names, titles, hosts and n8n's types. Types without a preset are only named when
// asked for.
func findPresets(kinds config.Kinds, c preset.Catalogue, word string) foundPresets {
	found := foundPresets{lines: []presetLine{}}
	has := func(texts ...string) bool {
		return strings.Contains(strings.ToLower(strings.Join(texts, " ")), strings.ToLower(word))
	}
	for _, p := range preset.All() {
		if has(p.Name, p.Title, p.Upstream, p.UpstreamEg, strings.Join(p.N8N, " ")) {
			found.lines = append(found.lines, presetLine{
				p.Name, p.Title, p.Upstream, p.UpstreamEg, placesOf(kinds, p),
				append([]string{}, p.N8N...), "", p.Docs,
			})
		}
	}
	for _, v := range c.Verdicts {
		if v.Preset == "" && word != "" && has(v.Type.Name, v.Type.Title) {
			found.lines = append(found.lines, presetLine{
				Title: v.Type.Title, N8N: []string{v.Type.Name},
				Why: v.Reason + ": " + v.Say, Docs: v.Type.Page(),
			})
		}
	}
	return found
}

// placesOf returns the kinds of a preset's credentials, and where each goes.
func placesOf(kinds config.Kinds, p preset.Preset) string {
	slots := kinds.PresetSlots(p.Name)
	parts := make([]string, len(slots))
	for i, c := range p.Placements() {
		parts[i] = strings.TrimSpace(c.Kind + " " + slots[i].Name())
	}
	return strings.Join(parts, ", ")
}

func (f foundPresets) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "PRESET\tAPI\tUPSTREAM\tCREDENTIAL\tN8N")
	for _, l := range f.lines {
		if l.Why != "" {
			continue
		}
		upstream := l.Upstream
		if upstream == "" {
			upstream = "yours: " + l.Example
		}
		_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\n", l.Name, l.Title, upstream, l.Credential,
			orDash(strings.Join(l.N8N, ", ")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range f.lines {
		if l.Why != "" {
			_, _ = fmt.Fprintf(w, "n8n's %s has no preset: %s\n", l.N8N[0], l.Why)
		}
	}
	return nil
}

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/monitor/probe"
)

// serviceLine is one line of service list.
type serviceLine struct {
	Name       string `json:"name"`
	Upstream   string `json:"upstream"`
	Credential string `json:"credential"` // kind and place, of several each
	Secret     string `json:"secret"`     // the reference, of several each
	Rules      int    `json:"rules"`
	Preset     string `json:"preset,omitempty"`

	Failure *app.Failure `json:"trouble,omitempty"` // of its credential, as the running gate says
	Probe   *probe.Shown `json:"probe,omitempty"`   // as the running gate says
}

func (e *env) serviceList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the configured services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := e.load()
			if err != nil {
				return err
			}
			failures, err := app.Failures(cmd.Context(), c)
			if err != nil {
				e.note("the running gate does not say how the credentials are: %v", err)
			}
			probes, err := app.Probes(cmd.Context(), c)
			if err != nil {
				e.note("the running gate does not say what its probes have shown: %v", err)
			}
			lines := []serviceLine{}
			for _, name := range c.ServiceNames() {
				line := lineOf(name, c.Services[name])
				if t, ok := failures[name]; ok {
					line.Failure = &t
					e.note("%s has no usable credential: %s: %s; %s", name, t.Code, t.Message, t.Hint)
				}
				if shown, ok := probes[name]; ok {
					line.Probe = &shown
				}
				lines = append(lines, line)
			}
			return e.print(lines, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(t, "NAME\tUPSTREAM\tCREDENTIAL\tSECRET\tRULES\tPRESET\tPROBE")
				for _, l := range lines {
					_, _ = cells(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, l.Upstream, l.Credential, orDash(l.Secret),
						rules(l.Rules), orDash(l.Preset), probed(l.Probe, time.Now()))
				}
				return t.Flush()
			})
		},
	}
}

func lineOf(name string, c *config.Service) serviceLine {
	var kinds, refs []string
	for _, placed := range c.Placements() {
		kinds = append(kinds, kindOf(&placed))
		for _, ref := range placed.Refs() {
			if text := ref.String(); !slices.Contains(refs, text) {
				refs = append(refs, text)
			}
		}
	}
	return serviceLine{
		Name: name, Upstream: c.Upstream.String(), Credential: strings.Join(kinds, ", "),
		Secret: strings.Join(refs, ", "),
		Rules:  len(c.Allow), Preset: c.Preset,
	}
}

// kindOf names a credential's kind, and where it goes.
func kindOf(c *config.Credential) string {
	return strings.TrimSuffix(c.Kind+" "+c.Slot().Name(), " ")
}

func rules(n int) string {
	if n == 0 {
		return "all allowed"
	}
	return fmt.Sprint(n)
}

// probed is what the last probe of a service has shown, in a few words.
func probed(s *probe.Shown, now time.Time) string {
	if s == nil || s.Result == nil {
		return "-"
	}
	text := string(s.Result.Verdict)
	if s.Result.Verdict != probe.Works && s.Result.Status > 0 {
		text += fmt.Sprintf(" (%d)", s.Result.Status)
	} else if s.Result.Code != "" {
		text += " (" + string(s.Result.Code) + ")"
	}
	return text + ", " + max(now.Sub(s.Result.At), 0).Truncate(time.Second).String() + " ago"
}

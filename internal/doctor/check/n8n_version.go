package check

import (
	"cmp"
	"context"
	_ "embed" // the page
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
)

//go:embed n8n-version.md
var n8nVersionPage string

func n8nVersion() doctor.Check {
	return doctor.Check{
		ID: "n8n-version", Title: "No known advisory of n8n is about a version that runs", Severity: doctor.High,
		Asks: "Each n8n that runs, for its version; a table of advisories as of " + advisoriesOf + ".",
		Page: n8nVersionPage + advisoryTable(), Look: lookAtVersions,
	}
}

// advisoriesOf is the day on which the table below was last compared with its sources.
const advisoriesOf = "2026-11-29"

// staleAfter is how old the table may be until it is time to look for a newer Sallyport.
const staleAfter = 120 * 24 * time.Hour

// advisory is one known weakness of n8n that reaches credentials, the master key, or the machine.
type advisory struct {
	id    string
	what  string
	fixed []string // the first version of each line that has it no longer
	read  string   // where that was read
}

// advisories returns the table. Only what has a page that names the fixed versions is in it.
func advisories() []advisory {
	return []advisory{
		{
			"CVE-2026-21858", "anybody reads files of n8n by a form's webhook, the master key's " +
				"too",
			[]string{"1.121.0"},
			"armis.com/blog/ni8mare-in-automation",
		},
		{
			"CVE-2025-68668", "a Python Code node runs commands on n8n's machine",
			[]string{"2.0.0"},
			"nvd.nist.gov/vuln/detail/CVE-2025-68668",
		},
		{
			"CVE-2026-1470", "an expression runs commands in n8n's main process",
			[]string{
				"1.123.17", "2.4.5",
				"2.5.1",
			},
			"nhimg.org/articles/n8n-sandbox-bypass-exposes-workflow-servers-to-code-execution",
		},
		{
			"CVE-2026-42227", "an API key reads variables of other projects",
			[]string{"1.123.32", "2.17.4", "2.18.1"},
			"sentinelone.com/vulnerability-database/cve-2026-42227",
		},
		{
			"CVE-2026-42226", "a user sends another's credential to a host of his own",
			[]string{"1.123.33", "2.17.5"},
			"sentinelone.com/vulnerability-database/cve-2026-42226",
		},
		{
			"CVE-2026-56348", "the domains that a credential is limited to are passed by",
			[]string{"2.20.0"},
			"github.com/advisories/GHSA-3875-8gcx-7v46",
		},
		{
			"CVE-2026-49444", "a Python Code node leaves the task runner",
			[]string{"1.123.48", "2.21.8", "2.22.4"},
			"aithreatalert.com/cve/CVE-2026-49444",
		},
		{
			"GHSA-h3jj-5f3v-3685", "a user who may only read runs workflows",
			[]string{"2.25.7", "2.26.2"},
			"aithreatalert.com/cve/GHSA-h3jj-5f3v-3685",
		},
	}
}

func advisoryTable() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "\n## The table, as of %s\n\n| advisory | what | fixed in | read at |\n| --- | --- | --- "+
		"| --- |\n",
		advisoriesOf)
	for _, a := range advisories() {
		_, _ = fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.id, a.what, strings.Join(a.fixed, ", "), a.read)
	}
	return b.String()
}

// version is of three numbers; what follows them (a build, a pre-release) is left out.
type version [3]int

func parseVersion(text string) (v version, ok bool) {
	text, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(text), "v"), "-")
	text, _, _ = strings.Cut(text, "+")
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return v, false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

func (v version) compare(w version) int { return slices.Compare(v[:], w[:]) }

// has tells whether a version has a weakness: it is before the fix of its own line, or its line has none and later ones
// have.
func (a advisory) has(v version) bool {
	after := false // a line after this one has a fix
	for _, text := range a.fixed {
		fix, _ := parseVersion(text)
		if fix[0] == v[0] && fix[1] == v[1] {
			return v.compare(fix) < 0
		}
		after = after || v.compare(fix) < 0
	}
	return after
}

func lookAtVersions(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
	if on.N8NVersion != "" {
		return versionSeen("n8n, as --n8n-version says", on.N8NVersion, on.Now), nil
	}
	return each(ctx, on, func(w site.Workload) []doctor.Seen {
		return versionSeen(w.Name, cmp.Or(w.Version, site.TagVersion(w.Image)), on.Now)
	})
}

func versionSeen(at, text string, now time.Time) (seen []doctor.Seen) {
	v, ok := parseVersion(text)
	if !ok {
		return []doctor.Seen{doctor.Dark(at, "it does not tell its version", "run an image by a tag that says it, "+
			"such as "+
			"n8nio/n8n:2.41.1, or give --n8n-version")}
	}
	for _, a := range advisories() {
		if a.has(v) {
			seen = append(seen, doctor.Bad(at, fmt.Sprintf("n8n %s has %s: %s", text, a.id, a.what),
				"update to "+strings.Join(a.fixed, ", ")+" or newer; whoever could use it may have the master key: "+
					"docs/masterkey.md"))
		}
	}
	if made, err := time.Parse(time.DateOnly, advisoriesOf); err == nil && now.Sub(made) > staleAfter {
		seen = append(seen, doctor.Doubtful(at, "the table of advisories is of "+advisoriesOf, "update Sallyport"))
	}
	if len(seen) == 0 {
		seen = append(seen, doctor.Good(at, fmt.Sprintf("n8n %s has none of %d known advisories (%s)", text,
			len(advisories()), advisoriesOf)))
	}
	return seen
}

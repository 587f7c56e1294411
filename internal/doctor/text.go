package doctor

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// shown is how many things of one check Text shows; the other forms have more.
const shown = 10

// Text writes a report for a person: what is wrong first, the worst of that first, what is well in a line each at the
// end.
func Text(w io.Writer, r Report) error {
	var b strings.Builder
	for _, one := range byUrgency(r.Results) {
		textOf(&b, one)
	}
	_, _ = fmt.Fprintf(&b, "\n%s: %s. It took %s.\n", counted(len(r.Results), "check"), r.Counts,
		r.Ended.Sub(r.Began).Round(100*time.Millisecond))
	switch n := len(r.LeftOut); {
	case n > len(r.Results) && n > 3: // --only
		_, _ = fmt.Fprintf(&b, "Left out: the other %d checks.\n", n)
	case n > 0:
		_, _ = fmt.Fprintf(&b, "Left out: %s.\n", strings.Join(r.LeftOut, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// byUrgency puts what is wrong first.
func byUrgency(results []Result) []Result {
	results = slices.Clone(results)
	slices.SortStableFunc(results, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Status.rank(), b.Status.rank()), cmp.Compare(a.Severity.rank(), b.Severity.rank()))
	})
	return results
}

var words = map[Status]string{Failed: "FAILED", Warning: "WARNING", Unseen: "NOT SEEN", OK: "ok"}

func textOf(b *strings.Builder, r Result) {
	if r.Status == OK {
		_, _ = fmt.Fprintf(b, "%-8s  %-18s  %s\n", words[OK], r.ID, summary(r))
		return
	}
	_, _ = fmt.Fprintf(b, "%-8s  %s: %s (%s)\n", words[r.Status], r.ID, r.Title, r.Severity)
	var listed []Seen
	well, more := 0, r.More
	for _, s := range r.Seen {
		switch {
		case s.Status == OK:
			well++
		case len(listed) == shown:
			more++
		default:
			listed = append(listed, s)
		}
	}
	for i, s := range listed {
		mark := map[Status]string{Failed: "✗", Warning: "!", Unseen: "?"}[s.Status]
		_, _ = fmt.Fprintf(b, "  %s %s: %s\n", mark, s.At(), s.Evidence)
		if again := i+1 < len(listed) && listed[i+1].Remedy == s.Remedy; s.Remedy != "" && !again {
			_, _ = fmt.Fprintf(b, "      → %s\n", s.Remedy)
		}
	}
	if more > 0 {
		_, _ = fmt.Fprintf(b, "    and %d more: --json has them\n", more)
	}
	if well > 0 {
		_, _ = fmt.Fprintf(b, "    %d beside it ok\n", well)
	}
	for _, line := range r.Fixed {
		_, _ = fmt.Fprintf(b, "  ✓ repaired: %s\n", line)
	}
	_, _ = fmt.Fprintf(b, "    %s\n", r.Page)
}

// summary is one line on a check that is well: what it has seen, as far as that fits.
func summary(r Result) string {
	const room = 110
	if len(r.Seen) == 1 {
		return clean(r.Seen[0].At()+": "+r.Seen[0].Evidence, room)
	}
	return clean(fmt.Sprintf("%s; such as %s: %s", counted(len(r.Seen)+r.More, "thing"), r.Seen[0].At(),
		r.Seen[0].Evidence), room)
}

// At is the subject, with the line where there is one.
func (s Seen) At() string {
	if s.Line > 0 {
		return fmt.Sprintf("%s:%d", s.Subject, s.Line)
	}
	return s.Subject
}

// counted is a number of things: "1 check", "2 checks".
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", one, "s")
}

package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// maxNamed is how many rows a line of a report names.
const maxNamed = 5

// Report is what is wrong with a table. Nothing that it names is taken from rows that are not believed.
type Report struct {
	Table string `json:"table"`
	List  string `json:"list,omitempty"` // why the database's own list of rows is not believed
	// rows that are there in another state than Sallyport has left them in
	Altered  []string `json:"altered,omitempty"`
	Missing  []string `json:"missing,omitempty"`  // rows that are gone
	Unknown  int      `json:"unknown,omitempty"`  // rows that Sallyport has not written
	Failure  string   `json:"trouble,omitempty"`  // why the list could not be kept beside the database
	Restored bool     `json:"restored,omitempty"` // the database is older than one that was seen before
}

// NewReport is a report without rows.
func (b *Book) NewReport(s State) Report {
	r := Report{Table: b.topic, Restored: s.Own != nil && s.Why != nil}
	if s.Why != nil {
		r.List = s.Why.Error()
	}
	if err := b.Failure(); err != nil {
		r.Failure = err.Error()
	}
	return r
}

// Rows counts the rows that are left out or gone.
func (r Report) Rows() int { return len(r.Altered) + len(r.Missing) + r.Unknown }

// OK tells that nothing is wrong.
func (r Report) OK() bool { return r.Rows() == 0 && r.List == "" && r.Failure == "" }

// String says what is wrong in one line; "" when nothing is.
func (r Report) String() string {
	var parts []string
	if r.List != "" {
		parts = append(parts, r.List)
	}
	if len(r.Altered) > 0 {
		parts = append(parts, fmt.Sprintf("%d rows were altered or put back from before (%s)",
			len(r.Altered), some(r.Altered)))
	}
	if len(r.Missing) > 0 {
		parts = append(parts, fmt.Sprintf("%d rows are gone (%s)", len(r.Missing), some(r.Missing)))
	}
	if r.Unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d rows are not of Sallyport's writing, or malformed", r.Unknown))
	}
	if r.Failure != "" {
		parts = append(parts, r.Failure)
	}
	if len(parts) == 0 {
		return ""
	}
	return "table of " + r.Table + ": " + strings.Join(parts, "; ")
}

func some(names []string) string {
	slices.Sort(names)
	if len(names) > maxNamed {
		return strings.Join(names[:maxNamed], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

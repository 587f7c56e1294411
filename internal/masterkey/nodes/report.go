package nodes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/n8n/environment"
)

// Reference is the key that the nodes should have, by its fingerprint under the nonce that they were asked with.
type Reference struct {
	From        string `json:"from"` // where it was read from
	Fingerprint string `json:"fingerprint"`
	Low         string `json:"low_fingerprint,omitempty"` // see masterkey.Copy
	// nil: no database was asked, and the key is right because someone says so
	Database *Database `json:"database,omitempty"`
}

// Result is whether a key is a database's, as package survey says it.
type Result string

// The results.
const (
	Match    Result = "match"
	Mismatch Result = "mismatch"
	Mixed    Result = "mixed"    // it opens some of what is in the database
	Unproven Result = "unproven" // the database holds nothing to open
)

// Database is what a database says of the reference.
type Database struct {
	Name       string `json:"name"`
	Result     Result `json:"result"`
	Proof      string `json:"proof,omitempty"`
	Readable   int    `json:"readable"`
	Unreadable int    `json:"unreadable"`
}

// Matching is whether a node has the right key.
type Matching string

// The cases. Without a reference nodes that differ are all Unknown: a majority may be wrong.
const (
	Yes     Matching = "yes"
	No      Matching = "no"
	Unknown Matching = "unknown"
)

// Row is what there is to say of a node.
type Row struct {
	Name        string           `json:"name"`
	Way         string           `json:"way"`
	Host        string           `json:"host,omitempty"`
	Role        environment.Role `json:"role,omitempty"`
	Version     string           `json:"version,omitempty"`
	From        string           `json:"from,omitempty"`        // where n8n has its key from
	Fingerprint string           `json:"fingerprint,omitempty"` // of that key
	Match       Matching         `json:"match"`
	// A, B, …: nodes with one key, where there are several and no reference
	Group     string               `json:"group,omitempty"`
	Copies    []masterkey.Copy     `json:"copies,omitempty"`
	Execution *masterkey.Execution `json:"execution,omitempty"`
	Findings  []Finding            `json:"findings,omitempty"`
	Error     string               `json:"error,omitempty"` // why it could not be asked
	Hint      string               `json:"hint,omitempty"`  // what to do about the error
}

// Report is the state of a fleet's master key.
type Report struct {
	Nonce     string     `json:"nonce"`
	Exit      fault.Exit `json:"exit"`
	Reference *Reference `json:"reference,omitempty"`
	Keys      int        `json:"keys"` // how many different ones the nodes have
	Nodes     []Row      `json:"nodes"`
}

// Compare makes a report of what the nodes have answered. ref may be nil.
func Compare(nonce string, answers []Answer, ref *Reference) Report {
	r := Report{Nonce: nonce, Reference: ref}
	groups := groupsOf(answers)
	r.Keys = len(groups)
	for _, a := range answers {
		row := Row{Name: a.Node.Name, Way: a.Node.Asker.Way(), Match: Unknown}
		if a.Err != nil {
			row.Error, row.Hint = a.Err.Error(), fault.HintOf(a.Err)
			r.Nodes = append(r.Nodes, row)
			continue
		}
		l := a.Local
		used, has := l.Used()
		row.Host, row.Role, row.Version, row.Copies, row.Execution = l.Host, l.Role, l.Version, l.Copies, l.Execution
		row.From, row.Fingerprint = used.From, used.Fingerprint
		row.Match = matching(used, has, ref, len(groups))
		if has && ref == nil && len(groups) > 1 {
			row.Group = groupName(slices.Index(groups, used.Fingerprint))
		}
		row.Findings = append(findings(l, row.Match, ref), twins(used, answers, ref)...)
		r.Nodes = append(r.Nodes, row)
	}
	r.Exit = r.exit()
	return r
}

// groupsOf are the different keys, that of most nodes first.
func groupsOf(answers []Answer) (groups []string) {
	count := make(map[string]int)
	for _, a := range answers {
		used, has := a.Local.Used()
		if a.Err != nil || !has {
			continue
		}
		if count[used.Fingerprint]++; count[used.Fingerprint] == 1 {
			groups = append(groups, used.Fingerprint)
		}
	}
	slices.SortStableFunc(groups, func(a, b string) int { return count[b] - count[a] })
	return groups
}

// groupName is A to Z, then AA.
func groupName(i int) string {
	if i >= 26 {
		return groupName(i/26-1) + groupName(i%26)
	}
	return string("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i])
}

func matching(used masterkey.Copy, has bool, ref *Reference, groups int) Matching {
	switch {
	case !has:
		return No
	case ref == nil && groups > 1:
		return Unknown
	case ref == nil:
		return Yes
	}
	same, wrong := used.Fingerprint == ref.Fingerprint, ref.Database != nil && ref.Database.Result == Mismatch
	switch {
	case same && wrong, !same && !wrong:
		return No
	case !same:
		return Unknown // the key that was tried is wrong, which says nothing of another one
	}
	return Yes
}

// exit is the worst of what was found: a mismatch, then a node that nothing is known of, then what has to be looked at.
func (r Report) exit() fault.Exit {
	worst, unasked := none, false
	for _, row := range r.Nodes {
		unasked = unasked || row.Error != ""
		for _, f := range row.Findings {
			worst = max(worst, rank(f.Severity))
		}
	}
	db := r.database()
	switch {
	case worst == rank(Wrong), r.Keys > 1, db != nil && (db.Result == Mismatch || db.Result == Mixed):
		return fault.ExitKeyMismatch
	case unasked:
		return fault.ExitError
	case worst == rank(Worry):
		return fault.ExitFindings
	}
	return fault.ExitOK
}

func (r Report) database() *Database {
	if r.Reference == nil {
		return nil
	}
	return r.Reference.Database
}

// Fault is the report as an error with a hint and an exit code, or nil when every node has the right key.
func (r Report) Fault() error {
	if r.Exit == fault.ExitOK {
		return nil
	}
	what, hint := r.sentence()
	return fault.WithExit(fault.WithHint(errors.New(what), hint), r.Exit)
}

func (r Report) sentence() (what, hint string) {
	db, wrong := r.database(), r.names(func(row Row) bool { return worst(row) == Wrong })
	switch {
	case db != nil && db.Result == Mismatch:
		return fmt.Sprintf("the key of %s does not open the database %s", r.Reference.From, db.Name),
			"try the other keys that there are with --key-file; docs/masterkey.md has the order in which to look for " +
				"one, under \"I lost the key\""
	case db != nil && db.Result == Mixed:
		return fmt.Sprintf("the key of %s opens %d values of the database %s, and %d it does not", r.Reference.From,
				db.Readable, db.Name, db.Unreadable),
			"a change of the key may have stopped half-way: `sallyport key rekey --dry-run` counts what each key opens"
	case r.Keys > 1 && r.Reference == nil:
		return fmt.Sprintf("the nodes have %d different keys", r.Keys),
			"how many nodes have a key does not make it the right one: `--database URL --key-file FILE` tells " +
				"whether the database needs the key in FILE"
	case len(wrong) > 0:
		return "not right: " + strings.Join(wrong, ", "), "the table says what to do on each node; then run this again"
	case r.Exit == fault.ExitError:
		return "nothing is known of: " + strings.Join(r.names(func(row Row) bool { return row.Error != "" }), ", "),
			"the table says why; all other nodes have been asked"
	}
	return "to be looked at: " + strings.Join(r.names(func(row Row) bool {
		return worst(row) == Worry
	}), ", "), "the table says what to do"
}

func (r Report) names(which func(Row) bool) (names []string) {
	for _, row := range r.Nodes {
		if which(row) {
			names = append(names, row.Name)
		}
	}
	return names
}

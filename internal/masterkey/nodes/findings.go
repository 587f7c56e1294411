package nodes

import (
	"sallyport/internal/masterkey"
	"sallyport/internal/n8n/environment"
)

// Severity is what a finding means for the fleet.
type Severity string

// The severities, the worst first.
const (
	Wrong Severity = "mismatch" // the node has not the key that it has to have, or does not start with it
	Worry Severity = "finding"  // the key is what it was, and should not stay so
	Note  Severity = "note"
)

const none = 0

func rank(s Severity) int {
	switch s {
	case Wrong:
		return 3
	case Worry:
		return 2
	case Note:
		return 1
	}
	return none
}

// worst is the severity of a row's worst finding, "" for none.
func worst(row Row) (s Severity) {
	for _, f := range row.Findings {
		if rank(f.Severity) > rank(s) {
			s = f.Severity
		}
	}
	return s
}

// Kind names a finding for programs.
type Kind string

// The kinds.
const (
	NoKey         Kind = "no_key"         // there is none to use
	OwnKey        Kind = "own_key"        // n8n made one by itself, in its settings file
	OtherKey      Kind = "other_key"      // it is not the reference
	StaleSettings Kind = "stale_settings" // the settings file has another one than the environment
	BadKey        Kind = "bad_key"        // a path, an example, a template
	WeakKey       Kind = "weak_key"       // too short, for example
	LowBytes      Kind = "low_bytes"      // alike for n8n 1.x alone
	FromVolume    Kind = "from_volume"    // right, and from the settings file alone
	OpenSettings  Kind = "open_settings"  // others can read the settings file
	OtherSource   Kind = "other_source"   // something about a copy that is not used, or about what was looked at
	NotExecuted   Kind = "not_executed"   // the workflow failed
)

// Finding is one thing about a node, and what to do.
type Finding struct {
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Todo     string   `json:"todo"`
}

const giveKey = "give it the fleet's key: " + environment.KeyFileName + "=/run/secrets/…"

// findings are what one node's answer shows, the worst first.
func findings(l masterkey.Local, match Matching, ref *Reference) []Finding {
	var all []Finding
	used, has := l.Used()
	switch {
	case !has:
		all = append(all, noKey(l))
	case !l.Agree:
		all = append(all, stale(l, used, match, ref))
	case match == No && ref != nil && ref.Fingerprint == used.Fingerprint:
		all = append(all, Finding{
			OtherKey, Wrong, "has the key that does not open the database",
			"find the key that does, then " + giveKey,
		})
	case match != Yes && onlySettings(l):
		what := "its key is in " + used.From + " alone: " + ownRole(l.Role) + " makes one when it is given none"
		all = append(all, Finding{OwnKey, Wrong, what, away(used.From, ref) + "; then " + giveKey})
	case match == No:
		all = append(all, Finding{OtherKey, Wrong, "has another key than " + ref.From, giveKey + orMove(l, ref)})
	case onlySettings(l):
		all = append(all, Finding{
			FromVolume, Note, "has the key from " + used.From + " alone",
			giveKey + ", so that it does not hang on a volume",
		})
	}
	if match == No && !l.Agree && has && all[0].Todo != giveKey {
		all = append(all, Finding{OtherKey, Wrong, "has another key than the fleet", giveKey})
	}
	return append(append(all, aboutCopies(l)...), aboutRun(l)...)
}

func orMove(l masterkey.Local, ref *Reference) string {
	if last := l.Copies[len(l.Copies)-1]; last.Mode != "" {
		return "; " + last.From + " has the other one too: " + away(last.From, ref)
	}
	return ""
}

// away is what to do with a settings file whose key is not the right one. It may be the only place of the key that the
// database needs: who has changed a variable alone has the old key there. So nothing is moved before a database has
// proved another key.
func away(path string, ref *Reference) string {
	switch {
	case ref == nil:
		return "find out with --database which key is needed, before you touch " + path
	case ref.Database == nil:
		return "keep " + path + " until --database has proved the key of " + ref.From + "; then move it away"
	case ref.Database.Result == Match:
		return "move " + path + " away"
	}
	return "keep " + path + ": its key may be the one that is needed"
}

func noKey(l masterkey.Local) Finding {
	for _, c := range l.Copies {
		if c.Problem != "" {
			return Finding{NoKey, Wrong, "has no key: " + c.From + " " + c.Problem, c.Hint}
		}
	}
	what := "has no key: n8n makes one of its own at its next start"
	if l.Role == environment.Worker {
		what = "has no key: a worker does not start without one"
	}
	return Finding{NoKey, Wrong, what, giveKey}
}

// stale is an environment and a settings file with two keys: n8n does not start again.
func stale(l masterkey.Local, used masterkey.Copy, match Matching, ref *Reference) Finding {
	last := l.Copies[len(l.Copies)-1]
	switch {
	case last.Fingerprint == "":
		return Finding{
			StaleSettings, Wrong, last.From + " " + last.Problem + ": n8n does not start",
			"move it away; n8n writes it again",
		}
	case match == No && ref != nil && ref.Fingerprint == last.Fingerprint:
		return Finding{
			StaleSettings, Wrong,
			used.From + " has another key than " + last.From +
				", whose key is the right one: n8n does not start", giveKey,
		}
	}
	return Finding{
		StaleSettings, Wrong, last.From + " has another key than " + used.From + ": n8n does not start",
		away(last.From, ref),
	}
}

func onlySettings(l masterkey.Local) bool {
	used, has := l.Used()
	return has && used.Mode != ""
}

func ownRole(role environment.Role) string {
	if role == environment.Webhook {
		return "a webhook process"
	}
	return "n8n"
}

// aboutCopies looks at each copy by itself.
func aboutCopies(l masterkey.Local) (all []Finding) {
	for _, c := range l.Copies {
		switch {
		case c.Used && c.Problem != "":
			all = append(all,
				Finding{
					BadKey, Worry, c.From + " " + c.Problem,
					"n8n has encrypted with it: change it with `sallyport key rekey`, not by hand. " + c.Hint,
				})
		case c.Used && c.Doubt != "":
			all = append(all, Finding{WeakKey, Worry, "the key " + c.Doubt, "change it with `sallyport key rekey`"})
		case !c.Used && c.Problem != "" && l.Usable && l.Agree:
			all = append(all, Finding{OtherSource, Note, c.From + " " + c.Problem, c.Hint})
		}
		if c.Mode != "" && c.Mode[len(c.Mode)-1] >= '4' {
			all = append(all, Finding{
				OpenSettings, Note, "everybody can read " + c.From + ", which holds the key",
				"chmod 600 " + c.From,
			})
		}
	}
	return all
}

func aboutRun(l masterkey.Local) (all []Finding) {
	if l.Doubt != "" {
		all = append(all, Finding{OtherSource, Note, "what was read " + l.Doubt, "run sallyport as n8n's user"})
	}
	if l.Execution != nil && !l.Execution.OK {
		all = append(all, Finding{
			NotExecuted, Worry, "the workflow failed: " + l.Execution.Problem,
			"look at the execution in n8n",
		})
	}
	return all
}

// twins tells of a key that n8n 1.x cannot tell from another node's, or from the reference, while n8n 2.20 and later
// can.
func twins(used masterkey.Copy, answers []Answer, ref *Reference) []Finding {
	likes := func(fingerprint, low string) bool {
		return fingerprint != used.Fingerprint && fingerprint != "" &&
			lowOf(fingerprint, low) == lowOf(used.Fingerprint, used.Low)
	}
	found := func(whose string) []Finding {
		return []Finding{{
			LowBytes, Note, "its key differs from " + whose + " in characters of which n8n 1.x uses a part only",
			"it opens the values of n8n 1.x, but no row of deployment_key (2.20 and later): make the two alike",
		}}
	}
	if used.Fingerprint == "" {
		return nil
	}
	if ref != nil {
		if likes(ref.Fingerprint, ref.Low) {
			return found(ref.From)
		}
		return nil
	}
	for _, a := range answers {
		if other, has := a.Local.Used(); a.Err == nil && has && likes(other.Fingerprint, other.Low) {
			return found(a.Node.Name + "'s")
		}
	}
	return nil
}

func lowOf(fingerprint, low string) string {
	if low != "" {
		return low
	}
	return fingerprint
}

package nodes

import (
	"strings"

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
		all = append(all, stale(l, used, match))
	case match == No && ref != nil && ref.Fingerprint == used.Fingerprint:
		all = append(all, Finding{OtherKey, Wrong, "has the key that does not open the database", "find the key that does, then " + giveKey})
	case match != Yes && onlySettings(l):
		all = append(all, Finding{OwnKey, Wrong, "its key is in " + used.From + " alone: " + ownRole(l.Role) + " makes one when it is given none",
			giveKey + ", and move " + used.From + " away"})
	case match == No:
		all = append(all, Finding{OtherKey, Wrong, "has another key than " + ref.From, giveKey + orMove(l)})
	case onlySettings(l):
		all = append(all, Finding{FromVolume, Note, "has the key from " + used.From + " alone", giveKey + ", so that it does not hang on a volume"})
	}
	if match == No && !l.Agree && has {
		all = append(all, Finding{OtherKey, Wrong, "has another key than the fleet", giveKey})
	}
	return append(append(all, aboutCopies(l)...), aboutRun(l)...)
}

func orMove(l masterkey.Local) string {
	if last := l.Copies[len(l.Copies)-1]; last.Mode != "" {
		return ", and move " + last.From + " away, which has the other one too"
	}
	return ""
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
func stale(l masterkey.Local, used masterkey.Copy, match Matching) Finding {
	last := l.Copies[len(l.Copies)-1]
	f := Finding{StaleSettings, Wrong, last.From + " has another key than " + used.From + ": n8n does not start", ""}
	switch {
	case last.Fingerprint == "":
		f.What, f.Todo = last.From+" "+last.Problem+": n8n does not start", "move "+last.From+" away; n8n writes it again"
	case match == Yes:
		f.Todo = "move " + last.From + " away; n8n writes it again"
	default:
		f.Todo = "find out which of the two the database needs, before one goes"
	}
	return f
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
			all = append(all, Finding{BadKey, Worry, c.From + " " + c.Problem, "n8n has encrypted with it: change it with `sallyport key rekey`, not by hand. " + c.Hint})
		case c.Used && c.Doubt != "":
			all = append(all, Finding{WeakKey, Worry, "the key " + c.Doubt, "change it with `sallyport key rekey`"})
		case !c.Used && c.Problem != "" && l.Usable && l.Agree:
			all = append(all, Finding{OtherSource, Note, c.From + " " + c.Problem, c.Hint})
		}
		if strings.HasSuffix(c.Mode, "4") || strings.HasSuffix(c.Mode, "6") || strings.HasSuffix(c.Mode, "7") {
			all = append(all, Finding{OpenSettings, Note, "everybody can read " + c.From + ", which holds the key", "chmod 600 " + c.From})
		}
	}
	return all
}

func aboutRun(l masterkey.Local) (all []Finding) {
	if l.Doubt != "" {
		all = append(all, Finding{OtherSource, Note, "what was read " + l.Doubt, "run sallyport as n8n's user"})
	}
	if l.Execution != nil && !l.Execution.OK {
		all = append(all, Finding{NotExecuted, Worry, "the workflow failed: " + l.Execution.Problem, "look at the execution in n8n"})
	}
	return all
}

// twins tells of a key that n8n 1.x cannot tell from another node's, or from the reference, while n8n 2.20 and later can.
func twins(used masterkey.Copy, answers []Answer, ref *Reference) []Finding {
	likes := func(fingerprint, low string) bool {
		return fingerprint != used.Fingerprint && fingerprint != "" && lowOf(fingerprint, low) == lowOf(used.Fingerprint, used.Low)
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

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
)

// writeRekeyPlan prints what a change would do.
func writeRekeyPlan(w io.Writer, r rekey.Report) error {
	_, _ = fmt.Fprintf(w, "%s, n8n %s (newest migration %s)\n\n", r.Database, r.Edition.Line, orDash(r.Edition.Migration))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(t, "PLACE\tROWS\tVALUES\tFORMS\tOLD KEY\tNEW KEY\tDATA KEY\tUNREADABLE\n")
	for _, c := range append(filled(r.Survey.Places), r.Survey.Totals()) {
		masters := append(slices.Clone(c.Masters), 0, 0)
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%d\t%d\t%d\t%d\n", c.Place, c.Rows, c.Values, forms(c.Forms), masters[0], masters[1], c.DataKeys, c.Unreadable)
	}
	if len(r.Keys) > 0 {
		_, _ = fmt.Fprint(t, "\nDEPLOYMENT KEY\tALGORITHM\tWOULD BE\n")
		for _, k := range r.Keys {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", k.Type, orDash(k.Algorithm), k.Done)
		}
	}
	err := t.Flush()
	writeUnreadable(w, r.Survey)
	for _, s := range r.Survey.Strays {
		_, _ = fmt.Fprintf(w, "\nunder the key, and in no known place: %d values in %s, the first in row %s", s.Count, s.Name(), s.Row)
	}
	if r.Survey.Foreign > 0 {
		_, _ = fmt.Fprintf(w, "\n%d values elsewhere look like ciphertext and open with no key of n8n's; they are left alone\n", r.Survey.Foreign)
	}
	_, _ = fmt.Fprintf(w, "\n%d values would be written anew, %d are right already; about %s\n", r.Changed, r.Already, max(r.Estimated.Round(time.Second), time.Second))
	for _, warning := range r.Warnings {
		_, _ = fmt.Fprintf(w, "warning: %s\n", warning)
	}
	return err
}

// filled leaves out the places that hold nothing.
func filled(places []survey.PlaceCount) []survey.PlaceCount {
	return slices.DeleteFunc(slices.Clone(places), func(c survey.PlaceCount) bool { return c.Values == 0 })
}

func forms(counts map[cipher.Form]int) string {
	var list []string
	for _, form := range []cipher.Form{cipher.FormCBC, cipher.FormPrefixed, cipher.FormGCM, cipher.FormUnknown} {
		if counts[form] > 0 {
			list = append(list, string(form))
		}
	}
	return orDash(strings.Join(list, ","))
}

func writeUnreadable(w io.Writer, s survey.Survey) {
	for _, u := range s.Unreadable {
		_, _ = fmt.Fprintf(w, "\nunreadable: %s, row %s: %s", u.Place, u.Row, u.Why)
	}
	if more := s.Totals().Unreadable - len(s.Unreadable); more > 0 {
		_, _ = fmt.Fprintf(w, "\nand %d more", more)
	}
	if len(s.Unreadable) > 0 {
		_, _ = fmt.Fprintln(w)
	}
}

// writeRekeyed tells what was done, and what is to be done next.
func writeRekeyed(w io.Writer, r rekey.Report, a rekeyedAfter, f rekeyFlags) error {
	rate := float64(r.Changed) / max(r.Took.Seconds(), 0.001)
	_, _ = fmt.Fprintf(w, "%s is under the new master key\n%d values written anew (%.0f a second), %d were right already, %d left unreadable; all read back with the new key and compared\nbackup: %s\n",
		r.Database, r.Changed, rate, r.Already, r.Kept, r.Backup)
	for path, done := range a.Settings {
		_, _ = fmt.Fprintf(w, "settings %s: %s\n", path, settingsDone[done])
	}
	if a.Store != "" {
		_, _ = fmt.Fprintf(w, "the new key is the current version of %s\n", a.Store)
	}
	writeConsequences(w, r, a, f)
	_, err := fmt.Fprintf(w, "\nnext:\n  1. give every node the new key (`sallyport key install`, or the store it comes from), main, webhook and workers\n"+
		"  2. remove .n8n/config from their volumes, or put the new key in (--settings)\n  3. start main first, then the others\n"+
		"  4. sallyport key verify --database … --key-file %s --node …\n  5. keep the backup until you are sure, then delete it\n", f.newFile)
	return err
}

// settingsDone says it for people.
//
//nolint:gochecknoglobals // a constant table
var settingsDone = map[string]string{
	rekey.SettingsChanged: "has the new key", rekey.SettingsAlready: "had the new key", rekey.SettingsOther: "has a third key, and was left alone: look at it",
	rekey.SettingsAbsent: "is not there, n8n will write it", "failed": "could not be changed",
}

// writeConsequences tells what ends with the old key, and what does not.
func writeConsequences(w io.Writer, r rekey.Report, a rekeyedAfter, f rekeyFlags) {
	_, _ = fmt.Fprintln(w)
	switch {
	case f.options.Leaked || r.Derived && a.PinFile == "":
		_, _ = fmt.Fprint(w, "signing secrets are new: everybody is logged out, API keys answer 401, links of waiting executions and signed file links are dead\n")
		if r.Derived && !f.options.Leaked {
			_, _ = fmt.Fprint(w, "(this n8n derives them from the master key; --pin-file would have written the variables that keep them)\n")
		}
	case a.PinFile != "":
		_, _ = fmt.Fprintf(w, "start n8n with the variables in %s, and sessions, API keys and links stay valid\n", a.PinFile)
	default:
		_, _ = fmt.Fprint(w, "sessions, API keys and links stay valid\n")
	}
	for _, exposed := range r.Exposed {
		_, _ = fmt.Fprintf(w, "look at: %d %s (%s)\n", exposed.Count, exposed.What, exposed.Table)
	}
	if f.options.Leaked {
		_, _ = fmt.Fprint(w, "credentials that the old key protected may be known to others: rotate them at their APIs too\n")
	}
}

package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"sallyport/internal/masterkey/rekey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/cipher"
)

// writeRekeyPlan prints what a change would do.
func writeRekeyPlan(w io.Writer, r rekey.Report, f rekeyFlags) error {
	_, _ = cells(w, "database: %s\nn8n:      %s (newest migration %s)\n\n", r.Database, r.Edition.Line,
		orDash(r.Edition.Migration))
	err := errors.Join(writeLocations(w, r.Survey), writeKeyChanges(w, r.Keys))
	writeUnreadable(w, r.Survey)
	for _, s := range r.Survey.Strays {
		_, _ = cells(w, "\nunder the key, and in no known place: %d values in %s, the first in row %s\n",
			s.Count, s.Name(), s.Row)
	}
	if r.Survey.Foreign > 0 {
		_, _ = cells(w,
			"\n%d values elsewhere look like ciphertext and open with no key of n8n's; they are left alone\n",
			r.Survey.Foreign)
	}
	_, _ = cells(w,
		"\na change would encrypt %d values again, and leave %d that are right as they are; it takes about %s\n",
		r.Changed, r.Already, max(r.Estimated.Round(time.Second), time.Second))
	writeConsequences(w, r, rekeyedAfter{PinFile: f.pinFile}, f)
	if len(r.Warnings) == 0 {
		_, _ = fmt.Fprint(w, "\nnothing is in its way; nothing was changed\n")
		return err
	}
	_, _ = fmt.Fprint(w, "\nin its way:\n")
	for _, warning := range r.Warnings {
		_, _ = cells(w, "  - %s\n", warning)
	}
	return err
}

// writeLocations prints where values lie, and which key opens how many of them.
func writeLocations(w io.Writer, s survey.Survey) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(t, "PLACE\tROWS\tVALUES\tFORMS\tOLD KEY\tNEW KEY\tDATA KEY\tUNREADABLE\n")
	for _, c := range append(filled(s.Locations), s.Totals()) {
		masters := append(slices.Clone(c.Masters), 0, 0)
		_, _ = cells(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", c.Location, c.Rows, c.Values, forms(c.Forms),
			numberOrDash(masters[0]), numberOrDash(masters[1]), numberOrDash(c.DataKeys), numberOrDash(c.Unreadable))
	}
	return t.Flush()
}

// numberOrDash keeps the eye on what is there.
func numberOrDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func writeKeyChanges(w io.Writer, keys []rekey.KeyChange) error {
	if len(keys) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(t, "\nROW OF DEPLOYMENT_KEY\tTYPE\tALGORITHM\tWOULD BE\n")
	for _, k := range keys {
		_, _ = cells(t, "%s\t%s\t%s\t%s\n", k.ID, k.Type, orDash(k.Algorithm), keyDone(k))
	}
	return t.Flush()
}

// keyDone says for people what becomes of a row.
func keyDone(k rekey.KeyChange) string {
	switch {
	case k.Done == "same":
		return "as it is"
	case k.Done == "replaced" && k.Type == cipher.TypeDataEncryption:
		return "the new master key"
	case k.Done == "replaced":
		return "a new secret"
	case k.Done == "rewrapped":
		return "the same secret, under the new master key"
	case k.Done == "retired":
		return "out of use"
	case k.Done == "added":
		return "a new data key, in use"
	}
	return k.Done
}

// filled leaves out the places that hold nothing.
func filled(locations []survey.LocationCount) []survey.LocationCount {
	return slices.DeleteFunc(slices.Clone(locations), func(c survey.LocationCount) bool { return c.Values == 0 })
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
		_, _ = cells(w, "\nunreadable: %s, row %s: %s", u.Location, u.Row, u.Why)
	}
	if more := s.Totals().Unreadable - len(s.Unreadable); more > 0 {
		_, _ = cells(w, "\nand %d more", more)
	}
	if len(s.Unreadable) > 0 {
		_, _ = fmt.Fprintln(w)
	}
}

// writeRekeyed tells what was done, and what is to be done next.
func writeRekeyed(w io.Writer, r rekey.Report, a rekeyedAfter, f rekeyFlags) error {
	rate := float64(r.Changed) / max(r.Took.Seconds(), 0.001)
	_, _ = cells(w,
		"%s is under the new master key\n%d values encrypted again (%.0f a second), %d were right as they are, %d "+
			"stay unreadable; all read back with the new key and compared\nbackup: %s\n",
		r.Database, r.Changed, rate, r.Already, r.Kept, r.Backup)
	writeSettings(w, a, "the new key")
	if a.Store != "" {
		_, _ = cells(w, "the new key is the current version of %s\n", a.Store)
	}
	writeConsequences(w, r, a, f)
	_, err := cells(w,
		"\nnext:\n  1. give every node the new key (`sallyport key install`, or the store it comes from), main, "+
			"webhook and workers\n"+
			"  2. remove .n8n/config from their volumes, or put the new key in (--settings)\n  3. start main first, "+
			"then "+
			"the others\n"+
			"  4. sallyport key verify --database … --key-file %s --node …\n  5. keep the backup until you are sure, "+
			"then delete it\n", f.newFile)
	return err
}

// writeSettings tells of the settings files, into which key was to be put: the new one, or back the old one.
func writeSettings(w io.Writer, a rekeyedAfter, key string) {
	for _, path := range slices.Sorted(maps.Keys(a.Settings)) {
		_, _ = cells(w, "settings %s: %s\n", path, strings.ReplaceAll(settingsDone[a.Settings[path]], "KEY", key))
	}
}

// writeUndone tells what an --undo did, and what is to be done next.
func writeUndone(w io.Writer, done rekey.Undone, a rekeyedAfter, f rekeyFlags) error {
	_, _ = cells(w,
		"the old master key is active again in %s\n%d rows are as they were, %d that n8n has changed since and %d "+
			"other values are under the old key again, %d are gone\n",
		done.Database, done.Restored, done.Since, done.Changed, done.Gone)
	if done.Kept > 0 {
		_, _ = cells(w, "%d values stay unreadable\n", done.Kept)
	}
	writeSettings(w, a, "the old key")
	switch {
	case a.KeyFile != "":
		_, _ = cells(w, "the old key: %s\n", a.KeyFile)
	case f.oldFile == "":
		_, _ = cells(w, "the old key is in the backup: keep that, or run this again with --old-key-out FILE\n")
	}
	_, err := fmt.Fprint(w,
		"\nnext:\n  1. give every node the old key\n  2. remove .n8n/config from their volumes, or put the old key "+
			"in (--settings)\n  3. start main first, then the others\n")
	return err
}

// settingsDone says it for people; KEY is the key that was to be put in.
//
//nolint:gochecknoglobals // a constant table
var settingsDone = map[string]string{
	rekey.SettingsChanged: "has KEY", rekey.SettingsAlready: "had KEY already",
	rekey.SettingsOther:  "has a third key, and was left alone: look at it",
	rekey.SettingsAbsent: "is not there, n8n will write it", "failed": "could not be changed",
}

// writeConsequences tells what ends with the old key, and what does not.
func writeConsequences(w io.Writer, r rekey.Report, a rekeyedAfter, f rekeyFlags) {
	_, _ = fmt.Fprintln(w)
	switch {
	case f.options.Leaked || r.Derived && a.PinFile == "":
		_, _ = fmt.Fprint(w,
			"signing secrets are new: everybody is logged out, API keys are refused, signed links (approvals, files) "+
				"are dead; resume links of Wait nodes stay\n")
		if r.Derived && !f.options.Leaked {
			_, _ = fmt.Fprint(w,
				"(this n8n derives them from the master key; --pin-file would have written the variables that keep "+
					"them)\n")
		}
	case a.PinFile != "":
		_, _ = cells(w, "start n8n with the variables in %s, and sessions, API keys and links stay valid\n", a.PinFile)
	default:
		_, _ = fmt.Fprint(w, "sessions, API keys and links stay valid\n")
	}
	for _, exposed := range r.Exposed {
		_, _ = cells(w, "look at: %d %s (%s)\n", exposed.Count, exposed.What, exposed.Table)
	}
	if f.options.Leaked {
		_, _ = fmt.Fprint(w,
			"credentials that the old key protected may be known to others: rotate them at their APIs too\n")
		if slices.ContainsFunc(r.Keys, func(k rekey.KeyChange) bool { return k.Type == cipher.TypeJWE }) {
			_, _ = fmt.Fprint(w,
				"the private key for JWE stays the same: whoever had the old key and the database has that too\n")
		}
		_, _ = fmt.Fprint(w,
			"what the old key opens lives on in backups and snapshots of the database, and in its file until it is "+
				"vacuumed\n")
	}
}

package e2e_test

import (
	"bytes"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/e2e/lab"
)

// TestRekeySQLite is one story: n8n's master key is changed, the change is taken back, and then the key has leaked. The
// chapters build on each other, and the last one searches all that sallyport has shown and written.
func TestRekeySQLite(t *testing.T) {
	t.Parallel()
	s := setUpRekey(t, findN8N(t))
	s.begin(t)
	chapters(t, []chapter{
		{"n8n holds all that the master key protects", s.holds},
		{"while n8n runs nothing is changed", s.refusedWhileRunning},
		{"n8n goes on under the new key", s.change},
		{"the old key opens nothing", s.oldKeyIsRefused},
		{"the change is taken back", s.undo},
		{"after a leak everybody is logged out, and the workflow runs", s.leaked},
		{"the keys are nowhere", s.keysAreNowhere},
	})
}

type chapter struct {
	name string
	run  func(*testing.T)
}

// chapters runs them until one fails: each builds on those before.
func chapters(t *testing.T, all []chapter) {
	t.Helper()
	for _, c := range all {
		began := time.Now()
		if !t.Run(c.name, c.run) {
			t.Log("the following chapters build on this one and were not run")
			return
		}
		t.Logf("%-60s %5.1f s", c.name, time.Since(began).Seconds())
	}
}

func (s *rekeyScene) holds(t *testing.T) {
	s.fill(t)
	s.wait(t, "first")
	s.exported = s.export(t)
	s.works(t)
	s.accepts(t, http.StatusOK, http.StatusOK)
}

func (s *rekeyScene) refusedWhileRunning(t *testing.T) {
	shown := s.key(t, exitFindings, slices.Concat([]string{"rekey", "--dry-run"}, s.on(s.fromTo("old", "new")...))...)
	for _, want := range []string{
		"credentials_entity.data", "user.mfaSecret", "signing.jwt",
		"the database is in use by",
	} {
		if !bytes.Contains(shown, []byte(want)) {
			t.Errorf("the plan does not say %q:\n%s", want, shown)
		}
	}
	before, _ := s.plan(t, s.on(s.fromTo("old", "new")...)...).under()
	s.key(t, exitAtWork, slices.Concat([]string{"rekey"}, s.on(s.fromTo("old", "new")...))...)
	for _, want := range []string{" node n8n (", "stop every n8n process"} {
		if !strings.Contains(s.said(), want) {
			t.Errorf("the refusal does not say %q: %s", want, s.said())
		}
	}
	after, fresh := s.plan(t, s.on(s.fromTo("old", "new")...)...).under()
	if before == 0 || after != before || fresh != 0 || len(s.backups()) > 0 {
		t.Errorf("%d values under the old key and %d under the new one, %d before; backups: %q", after, fresh,
			before, s.backups())
	}
	s.works(t)
}

// change plans the change, makes it, proves it on the database, and starts n8n with the new key.
func (s *rekeyScene) change(t *testing.T) {
	s.n8n.Stop()
	plan := s.plan(t, s.on(s.fromTo("old", "new")...)...)
	plan.nobodyThere(t)
	s.planned(t, plan)
	done := s.rekey(t,
		s.on(s.fromTo("old", "new", "--settings", s.settingsFile(), "--backup", s.file("first.backup"))...)...)
	if done.Changed != plan.Changed || done.After.Settings[s.settingsFile()] != "changed" {
		t.Errorf("%d values were changed, %d planned; the settings files are %v", done.Changed, plan.Changed,
			done.After.Settings)
	}
	s.fits(t, "new", "old", "proved by deployment_key")

	must(t, "starting n8n with the new key", s.n8n.Restart(t.Context(), "N8N_ENCRYPTION_KEY="+string(s.secrets["new"])))
	s.sameCredentials(t)
	s.works(t)
	s.accepts(t, http.StatusOK, http.StatusOK)
	s.resumes(t, http.StatusOK, http.StatusOK)
	must(t, "signing in with a code", s.n8n.SignIn(t.Context(), s.mfa))
}

// planned looks at the places where the test knows of values, and wants nothing to have been written.
func (s *rekeyScene) planned(t *testing.T, plan changeReport) {
	t.Helper()
	for name, values := range map[string]int{
		"credentials_entity.data": len(s.exported), "user.mfaSecret": 1, "user.mfaRecoveryCodes": len(s.mfa.RecoveryCodes),
	} {
		if p := plan.place(name); p.Values != values || p.Masters[0] != values || p.Unreadable > 0 {
			t.Errorf("the plan has %+v, want %d values under the old key", p, values)
		}
	}
	if old, fresh := plan.under(); old != plan.Changed || fresh > 0 || len(s.backups()) > 0 {
		t.Errorf("after the plan %d of %d values are under the old key, and %d under the new one; backups: %q", old,
			plan.Changed, fresh, s.backups())
	}
}

// fits wants the database to need one key and not the other.
func (s *rekeyScene) fits(t *testing.T, right, wrong, proof string) {
	t.Helper()
	out := s.key(t, 0, append([]string{"verify"}, s.on("--key-file", s.keyFile(right))...)...)
	if !bytes.Contains(out, []byte(proof)) {
		t.Errorf("verify does not say %q: %s", proof, out)
	}
	s.key(t, exitOtherKey, append([]string{"verify"}, s.on("--key-file", s.keyFile(wrong))...)...)
}

// oldKeyIsRefused starts n8n with the old key: on the settings file that has the new one, and where there is no such
// file.
func (s *rekeyScene) oldKeyIsRefused(t *testing.T) {
	s.n8n.Stop()
	for want, setup := range map[string]lab.Setup{
		"Mismatching encryption keys":                      s.setup(s.home),
		"cannot be read with this instance encryption key": s.setup(t.TempDir(), "DB_SQLITE_DATABASE="+s.database()),
	} {
		code, said, err := setup.Refused(t.Context(), "start")
		must(t, "starting n8n with the old key", err)
		if code == 0 || !bytes.Contains(said, []byte(want)) {
			t.Errorf("n8n ended with %d, and does not say %q:\n%s", code, want, said[max(0, len(said)-2000):])
		}
	}
}

func (s *rekeyScene) undo(t *testing.T) {
	s.key(t, 0, append([]string{"rekey", "--even-if-active"}, s.on("--undo", s.file("first.backup"), "--new-key-file",
		s.keyFile("new"), "--settings", s.settingsFile())...)...)
	s.fits(t, "old", "new", "proved by deployment_key")
	must(t, "starting n8n with the old key", s.n8n.Restart(t.Context(), "N8N_ENCRYPTION_KEY="+string(s.secrets["old"])))
	s.sameCredentials(t)
	s.works(t)
	s.accepts(t, http.StatusOK, http.StatusOK)
	must(t, "signing in with a recovery code", s.n8n.Recover(t.Context(), s.mfa.RecoveryCodes[0]))
	s.wait(t, "second")
}

// notSigned is what n8n 2.41.1 answers to an API key of its table that it has not signed: it does not expect one. n8n
// 1.x says 401.
const notSigned = http.StatusInternalServerError

// leaked: a change that ends what whoever had the old key could have signed. The link with a token does not hang on a
// key.
func (s *rekeyScene) leaked(t *testing.T) {
	s.n8n.Stop()
	out := s.key(t, 0, append([]string{"rekey", "--leaked", "--even-if-active"},
		s.on(s.fromTo("old", "next", "--settings", s.settingsFile())...)...)...)
	for _, want := range []string{"API keys are refused", "API keys in the clear"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	s.fits(t, "next", "old", "proved by deployment_key")
	must(t, "starting n8n with the next key",
		s.n8n.Restart(t.Context(), "N8N_ENCRYPTION_KEY="+string(s.secrets["next"])))
	s.sameCredentials(t)
	s.accepts(t, notSigned, http.StatusUnauthorized)
	s.resumes(t, http.StatusOK, http.StatusUnauthorized)
	must(t, "signing in with a code", s.n8n.SignIn(t.Context(), s.mfa))
	must(t, "making another API key", s.n8n.TakeAPIKey(t.Context(), "after the leak"))
	s.works(t)
}

func (s *rekeyScene) keysAreNowhere(t *testing.T) {
	if len(s.backups()) != 2 {
		t.Errorf("the backups are %q, want two", s.backups())
	}
	config, err := os.ReadFile(s.settingsFile())
	must(t, "reading n8n's settings file", err)
	s.keepsQuiet(t, map[string][]byte{s.settingsFile(): config})
}

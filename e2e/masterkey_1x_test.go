package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"sallyport/e2e/lab"
)

// firstLine is the newest n8n 1.x, which has no data keys, and derives what it signs with from the master key.
const firstLine = "1.123.81"

// TestRekey1x changes the master key of n8n 1.x. Another n8n takes minutes to install, so the test runs where that was
// done, in CI, and where everything is asked for; the recorded databases of `make test` have this version everywhere.
func TestRekey1x(t *testing.T) {
	t.Parallel()
	install, err := lab.FindVersion(t.Context(), "../tools/n8n/install", firstLine)
	if errors.Is(err, lab.ErrNoN8N) && os.Getenv("SALLYPORT_E2E_ALL") == "" && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED against n8n %s, which is not installed: tools/n8n/install %[1]s, or SALLYPORT_E2E_ALL=1",
			firstLine)
	}
	must(t, "looking for n8n", err)
	s := setUpRekey(t, install, "N8N_EXPRESSION_ENGINE=legacy") // the other needs a native module
	s.begin(t)
	chapters(t, []chapter{
		{"n8n holds all that the master key protects", s.holds},
		{"with the variables of --pin-file nothing ends", s.pinned},
		{"without them everybody is logged out", s.notPinned},
		{"the keys are nowhere", s.keysOf1xAreNowhere},
	})
}

func (s *rekeyScene) pinned(t *testing.T) {
	s.n8n.Stop()
	plan := s.plan(t, s.on(s.fromTo("old", "new")...)...)
	plan.nobodyThere(t)
	s.planned(t, plan)
	s.rekey(t, s.on(s.fromTo("old", "new", "--settings", s.settingsFile(), "--pin-file", s.pinFile())...)...)
	s.fits(t, "new", "old", "it opens all of")

	must(t, "starting n8n with the new key",
		s.n8n.Restart(t.Context(), append(s.pins(t), "N8N_ENCRYPTION_KEY="+string(s.secrets["new"]))...))
	s.sameCredentials(t)
	s.works(t)
	s.accepts(t, http.StatusOK, http.StatusOK)
	s.resumes(t, http.StatusOK, http.StatusOK)
	s.wait(t, "second")
}

// pinFile is beside the operator's folder: it holds what follows from the old key, and is as secret.
func (s *rekeyScene) pinFile() string { return s.home + "/pins.env" }

func (s *rekeyScene) pins(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(s.pinFile())
	must(t, "reading the pins", err)
	return strings.Fields(string(content))
}

func (s *rekeyScene) notPinned(t *testing.T) {
	pins := s.pins(t)
	for i, pin := range pins {
		pins[i], _, _ = strings.Cut(pin, "=") // the name alone takes the variable away
	}
	must(t, "starting n8n without the pins", s.n8n.Restart(t.Context(), pins...))
	s.accepts(t, http.StatusUnauthorized, http.StatusUnauthorized)
	s.resumes(t, http.StatusOK, http.StatusUnauthorized)
	must(t, "signing in with a code", s.n8n.SignIn(t.Context(), s.mfa))
	must(t, "making another API key", s.n8n.TakeAPIKey(t.Context(), "after the change"))
	s.works(t)
}

func (s *rekeyScene) keysOf1xAreNowhere(t *testing.T) {
	config, err := os.ReadFile(s.settingsFile())
	must(t, "reading n8n's settings file", err)
	s.keepsQuiet(t, map[string][]byte{s.settingsFile(): config})
}

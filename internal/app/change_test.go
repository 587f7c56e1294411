package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/fault"
)

// TestNextRequestActsByIt: what a command has changed when it returns holds for the very next request.
func TestNextRequestActsByIt(t *testing.T) {
	b := newBed(t, one(""))
	gate := b.serve().GatewayURL()
	for i := range 5 {
		value := fmt.Sprintf("sk-live-changed-%d", i)
		b.put("crm", value)
		b.get(gate+"/s/crm/").is(t, 200, "the API's answer")
		if got := b.api.last(); got != "Bearer "+value {
			t.Fatalf("after change %d the API received %q", i, got)
		}
	}
	if _, err := b.state.Builtin.Rollback(t.Context(), "crm", "1"); err != nil {
		t.Fatal(err)
	}
	b.changed("secrets")
	b.get(gate + "/s/crm/")
	if got := b.api.last(); got != "Bearer sk-live-canary-1" {
		t.Errorf("after the rollback the API received %q", got)
	}
	if err := b.state.Builtin.Delete(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	b.changed("secrets")
	b.get(gate+"/s/crm/").is(t, 503, string(fault.CredentialMissing))
	b.put("crm", "sk-live-again")
	b.get(gate+"/s/crm/").is(t, 200, "")

	for i := range 5 {
		value := b.issue(fmt.Sprintf("token%d", i))
		if got, err := b.try(gate+"/s/crm/", value); err != nil || got.status != 200 {
			t.Errorf("a new token: got %v %v", got, err)
		}
		if _, err := b.state.Tokens.Revoke(t.Context(), fmt.Sprintf("token%d", i)); err != nil {
			t.Fatal(err)
		}
		b.changed("tokens")
		got, err := b.try(gate+"/s/crm/", value)
		if err != nil {
			t.Fatal(err)
		}
		got.is(t, 407, string(fault.TokenRevoked))
	}
}

// TestStoreFails: the last known good credential stays active and valid; it is the store that /readyz and the metrics
// name.
func TestStoreFails(t *testing.T) {
	b := newBed(t, one(""))
	a := b.serve()
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	if _, err := b.state.DB.ExecContext(t.Context(), "UPDATE secret_version SET sealed = $1",
		[]byte("damaged")); err != nil {
		t.Fatal(err)
	}
	b.changed("secrets")
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "the API's answer")
	if got := b.api.last(); got != "Bearer sk-live-canary-1" {
		t.Errorf("the API received %q", got)
	}
	b.get(a.AdminURL()+"/readyz").is(t, 200, `"degraded":["store"]`)
	b.get(a.AdminURL()+"/metrics").is(t, 200, `sallyport_store_up{store="builtin"} 0`)
	b.get(a.AdminURL()+"/metrics").is(t, 200, `sallyport_credential_valid{service="crm"} 1`)
	b.put("crm", "sk-live-mended")
	b.get(a.GatewayURL()+"/s/crm/").is(t, 200, "")
	b.get(a.AdminURL()+"/readyz").is(t, 200, `"ready":true`)
	b.get(a.AdminURL()+"/metrics").is(t, 200, `sallyport_store_up{store="builtin"} 1`)
}

// TestOneGatePerDataDirectory: the second is kept out, and the first does not notice.
func TestOneGatePerDataDirectory(t *testing.T) {
	b := newBed(t, one(""))
	gate := b.serve().GatewayURL()
	_, err := app.New(t.Context(), b.options())
	if fault.ExitOf(err) != fault.ExitLocked || fault.HintOf(err) == "" {
		t.Errorf("a second gate: got %v, exit %d, hint %q", err, fault.ExitOf(err), fault.HintOf(err))
	}
	b.put("crm", "sk-live-still-heard")
	b.get(gate + "/s/crm/")
	if got := b.api.last(); got != "Bearer sk-live-still-heard" {
		t.Errorf("the first gate does not hear changes any more: the API received %q", got)
	}
}

// TestControlSocket: only the owner may reach it, and a long path to the data directory is no obstacle.
func TestControlSocket(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short": t.TempDir(), "long": deep} {
		t.Run(name, func(t *testing.T) {
			b := newBedIn(t, dir, one(""))
			gate := b.serve().GatewayURL()
			info, err := os.Lstat(filepath.Join(b.load().Data, "control.sock"))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the socket has mode %v", info.Mode())
			}
			b.put("crm", "sk-live-over-the-socket")
			b.get(gate + "/s/crm/")
			if got := b.api.last(); got != "Bearer sk-live-over-the-socket" {
				t.Errorf("the API received %q", got)
			}
		})
	}
}

// TestAdminEventsAreOnRecord: what commands do is in the one log, whether a gate holds it or not.
func TestAdminEventsAreOnRecord(t *testing.T) {
	b := newBed(t, one(""))
	record := func(subject string) {
		t.Helper()
		if err := b.state.Record(t.Context(), &audit.Event{
			Actor: "tester", Action: "secret.set",
			Subject: subject,
		}); err != nil {
			t.Fatal(err)
		}
	}
	record("before")
	a := b.serve()
	record("meanwhile")
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	record("after")
	keys, err := b.state.AuditKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := b.load().Audit
	report, err := audit.VerifyFile(t.Context(), c.File, c.CheckpointFile, keys.Public())
	if err != nil || !report.OK {
		t.Errorf("the log does not verify: %+v %v", report, err)
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"before", "meanwhile", "after"} {
		if !strings.Contains(string(text), `"subject":"`+subject+`"`) {
			t.Errorf("no record of what was done %s", subject)
		}
	}
}

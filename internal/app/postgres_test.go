package app_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"sallyport/internal/fault"
)

// TestTwoGatesOnOneDatabase: what is changed beside one of them is heard of by the other.
func TestTwoGatesOnOneDatabase(t *testing.T) {
	database, key := postgres.URL(t), filepath.Join(t.TempDir(), "seal.key")
	text := func(url string) string {
		return fmt.Sprintf("database: %q\nseal: {key_file: %s}\n", database, key) + one("")(url)
	}
	here := newBed(t, text)
	there := newBedOn(t, here, text)
	gateHere, gateThere := here.serve().GatewayURL(), there.serve().GatewayURL()
	there.token = here.token
	there.get(gateThere+"/s/crm/").is(t, 200, "")

	here.put("crm", "sk-live-changed-beside-the-other")
	here.get(gateHere + "/s/crm/")
	if got := here.api.last(); got != "Bearer sk-live-changed-beside-the-other" {
		t.Errorf("here the API received %q", got)
	}
	there.until("the other gate uses the changed secret", func() bool {
		there.get(gateThere + "/s/crm/")
		return there.api.last() == "Bearer sk-live-changed-beside-the-other"
	})

	issued := here.issue("second")
	there.until("the other gate takes the new token", func() bool {
		got, err := there.try(gateThere+"/s/crm/", issued)
		return err == nil && got.status == 200
	})
	if _, err := here.state.Tokens.Revoke(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	here.changed("tokens")
	there.until("the other gate refuses the revoked token", func() bool {
		got, err := there.try(gateThere+"/s/crm/", issued)
		return err == nil && got.status == 407
	})

	if err := here.state.Builtin.Delete(t.Context(), "crm"); err != nil {
		t.Fatal(err)
	}
	here.changed("secrets")
	there.until("the other gate has no credential", func() bool {
		return there.get(gateThere+"/s/crm/").status == fault.Lookup(fault.CredentialMissing).Status
	})
}

// newBedOn is another machine's bed on the same database, without tokens and secrets of its own.
func newBedOn(t *testing.T, other *bed, text func(url string) string) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), api: newUpstream(t), log: &logText{}, token: other.token}
	b.path = filepath.Join(b.dir, "sallyport.yaml")
	b.write(text(b.api.URL))
	b.state = b.open()
	return b
}

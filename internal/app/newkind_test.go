package app_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/credentialtest"
	"sallyport/internal/config"
	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/shelf"
	"sallyport/internal/testkit/stamp"
)

// TestKindsAreComplete: each kind of store has its page, its configurations, and its run of the conformance suite.
func TestKindsAreComplete(t *testing.T) {
	for _, lacking := range storetest.Complete(app.Kinds().Stores, os.DirFS("../secret")) {
		t.Error(lacking)
	}
}

// TestCredentialKindsAreComplete: each kind of credential has its section, its configurations, and its run of the
// conformance suite.
func TestCredentialKindsAreComplete(t *testing.T) {
	for _, lacking := range credentialtest.Complete(app.Kinds().Credentials, os.DirFS("../boundary/credential")) {
		t.Error(lacking)
	}
}

// TestNewCredentialKind: a kind that is added to the list, and to nothing beside, is in the reference, and its
// credential goes onto the requests of a gate.
func TestNewCredentialKind(t *testing.T) {
	kinds := app.Kinds()
	kinds.Credentials = append(kinds.Credentials, stamp.Kind())
	for _, want := range []string{
		"[`stamp`](#servicesnamecredential-of-kind-stamp)", "## `services.NAME.credential` of kind stamp\n\nA secret with a stamp before it.",
		"## `services.NAME.credential.ink` of kind stamp", "| `stamp` | string |  | What goes before the secret. Required. Example: `top`. |",
	} {
		if !strings.Contains(string(config.Reference(kinds)), want) {
			t.Errorf("the reference does not have %q", want)
		}
	}
	if page := string(credential.Page(kinds.Credentials)); !strings.Contains(page, "\n### stamp\n\nFor tests.\n") {
		t.Error("its page is not in docs/credentials.md")
	}

	b := newBed(t, one(""))
	o := b.options()
	b.put("far", "secret-canary")
	b.write(one("")(b.api.URL) + fmt.Sprintf("  far: {upstream: %s, allow_private: [127.0.0.1/32], "+
		"credential: {kind: stamp, stamp: \"{word}:\", secret: ref+builtin://far, ink: {}, inputs: {word: top}}}\n",
		b.api.URL))
	b.loadWith(kinds, &o)
	settings, ok := o.Config.Services["far"].Credential.Settings.(*stamp.Settings)
	if !ok || settings.Stamp != "top:" || settings.Ink.Colour != "red" {
		t.Errorf("the settings are %+v", o.Config.Services["far"].Credential.Settings)
	}
	a := b.serveOptions(o)
	b.get(a.GatewayURL()+"/s/far/").is(t, 200, "the API's answer")
	if got := b.api.last(); got != "top: secret-canary" {
		t.Errorf("the API received %q", got)
	}
}

// TestNewKind: a kind that is added to the list, and to nothing beside, is in the reference, and its store is opened
// and used by a gate.
func TestNewKind(t *testing.T) {
	kinds := app.Kinds()
	kinds.Stores = append(kinds.Stores, shelf.Kind())
	for _, want := range []string{
		"[`shelf`](#storesname-of-kind-shelf)", "## `stores.NAME` of kind shelf\n\nA shelf of made-up secrets.", "## `stores.NAME.board` of kind shelf",
		"| `label` | string |  | What each value begins with. Required. Example: `top`. |",
	} {
		if !strings.Contains(string(config.Reference(kinds)), want) {
			t.Errorf("the reference does not have %q", want)
		}
	}

	b := newBed(t, one(""))
	o := b.options()
	b.write(one("")(b.api.URL) +
		fmt.Sprintf("  far: {upstream: %s, credential: {kind: bearer, secret: ref+mine://n8n/far}, allow_private: "+
			"[127.0.0.1/32]}\n", b.api.URL) +
		"stores: {mine: {kind: shelf, label: top-canary, board: {}}}\n")
	b.loadWith(kinds, &o)
	settings, ok := o.Config.Stores["mine"].Settings.(*shelf.Settings)
	if !ok || settings.Board.Height != 2 {
		t.Errorf("the settings are %+v", o.Config.Stores["mine"].Settings)
	}
	a := b.serveOptions(o)
	b.get(a.GatewayURL()+"/s/far/").is(t, 200, "the API's answer")
	if got := b.api.last(); got != "Bearer top-canary/n8n/far" {
		t.Errorf("the API received %q", got)
	}
}

// TestDriverKindsAreComplete: each kind of driver has its page and its configurations, and the rotation of the one that
// opens has a driver that says what it can do, without contacting anybody.
func TestDriverKindsAreComplete(t *testing.T) {
	for _, lacking := range drivertest.Complete(app.Kinds().Drivers, os.DirFS("../driver")) {
		t.Error(lacking)
	}
	for _, kind := range app.Kinds().Drivers {
		c, _, err := config.Load(app.Kinds(), unpacked(t, "../driver/"+kind.Name+"/testdata/config/opens.txtar"))
		if err != nil || c.Rotations["one"] == nil {
			t.Errorf("%s: %v", kind.Name, err)
			continue
		}
		d, err := c.Rotations["one"].Driver.Settings.Open(t.Context(), driver.Host{})
		if err != nil {
			t.Errorf("%s: %v", kind.Name, err)
			continue
		}
		d.Capabilities()
	}
}

// loadWith has the gate of o read its configuration with these kinds.
func (b *bed) loadWith(kinds config.Kinds, o *app.Options) {
	b.t.Helper()
	l := config.NewLoader(kinds, b.path)
	o.Reread = l.Load
	var err error
	if o.Config, _, err = l.Load(); err != nil {
		b.t.Fatal(err)
	}
}

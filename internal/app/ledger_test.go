package app_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/seal"

	"github.com/tink-crypto/tink-go/v2/keyset"
)

// two is a configuration with a second service.
func two(url string) string {
	return listen + "services:\n" + fmt.Sprintf(service, "crm", url, "") + fmt.Sprintf(service, "mail", url, "")
}

func (b *bed) issueFor(name string, services ...string) string {
	b.t.Helper()
	value, _, err := b.state.Tokens.Issue(b.t.Context(), name, token.Scope{Services: services}, time.Time{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.changed("tokens")
	return string(value.Reveal())
}

func (b *bed) revoke(name string) {
	b.t.Helper()
	if _, err := b.state.Tokens.Revoke(b.t.Context(), name); err != nil {
		b.t.Fatal(err)
	}
	b.changed("tokens")
}

// asks is a try whose status alone matters.
func (b *bed) asks(a *app.App, value, service string) int {
	b.t.Helper()
	got, err := b.try(a.GatewayURL()+"/s/"+service+"/", value)
	if err != nil {
		b.t.Fatal(err)
	}
	return got.status
}

// vouchedTables are those that an attacker who puts everything back puts back.
func vouchedTables() []string {
	return []string{"proxy_token", "ledger", "keyset", "secret", "secret_version"}
}

// attack is what someone does who can write the database.
type attack struct {
	do   func(w writer)
	part string // what /readyz names
}

func attacks() map[string]attack {
	return map[string]attack{
		"revoked is cleared": {func(w writer) { w.do("UPDATE proxy_token SET revoked = 0") }, "tokens"},
		"scope is widened": {func(w writer) {
			w.do(`UPDATE proxy_token SET scope = '{"services":["*"]}' WHERE name = 'narrow'`)
		}, "tokens"},
		"scope of another": {func(w writer) {
			w.do("UPDATE proxy_token SET scope = (SELECT scope FROM proxy_token WHERE name = 'n8n') WHERE name = " +
				"'narrow'")
		}, "tokens"},
		"hash of another": {func(w writer) {
			w.do("UPDATE proxy_token SET hash = (SELECT hash FROM proxy_token WHERE name = 'revoked') WHERE name = " +
				"'narrow'")
		}, "tokens"},
		"a row put back": {func(w writer) {
			w.do("DELETE FROM proxy_token WHERE name = 'revoked'",
				"INSERT INTO proxy_token SELECT * FROM kept_proxy_token WHERE name = 'revoked'")
		}, "tokens"},
		"the table put back":      {func(w writer) { w.putBack("proxy_token") }, "tokens"},
		"table and list put back": {func(w writer) { w.putBack("proxy_token", "ledger") }, "tokens"},
		"everything put back":     {func(w writer) { w.putBack(vouchedTables()...) }, "tokens"},
		"list deleted": {func(w writer) {
			w.do("DELETE FROM ledger", "UPDATE proxy_token SET revoked = 0")
		}, "tokens"},
		"list of another table": {func(w writer) {
			w.do("UPDATE ledger SET page = (SELECT page FROM ledger WHERE topic = 'secrets'), mac = (SELECT mac FROM "+
				"ledger WHERE topic = 'secrets') WHERE topic = 'tokens'", "UPDATE proxy_token SET revoked = 0")
		}, "tokens"},
		"list destroyed": {func(w writer) {
			w.do("UPDATE ledger SET page = "+w.zeros(1)+", mac = "+w.zeros(1), "UPDATE proxy_token SET revoked = 0")
		}, "tokens"},
		"rows added": {func(w writer) {
			w.do("INSERT INTO proxy_token SELECT 'zzzzzzzzzz', 'n8n', 77, hash, scope, pending, created, expires, " +
				"retire_at, 0, last_used, last_workflow FROM proxy_token WHERE name = 'revoked'")
		}, "tokens"},
		"a row without a form": {func(w writer) {
			w.do("INSERT INTO proxy_token (id, name, number, hash, scope, pending, created) VALUES ('bad', 'other', " +
				w.odd() + ")")
		}, "tokens"},
		"an endless scope": {func(w writer) {
			w.do("INSERT INTO proxy_token (id, name, number, hash, scope, pending, created) VALUES ('bad', 'n8n', 9, " +
				w.zeros(32) + ", " + w.long(20000000) + ", 0, 0)")
		}, "tokens"},
		"rows deleted": {func(w writer) {
			w.do("DELETE FROM proxy_token WHERE name = 'narrow'")
		}, "tokens"},
		"an old version of a secret": {func(w writer) { w.do("UPDATE secret SET latest = 1") }, "secrets"},
		"a deleted secret":           {func(w writer) { w.putBack("secret", "secret_version") }, "secrets"},
		"old secrets and their list": {func(w writer) { w.putBack("secret", "secret_version", "ledger") }, "secrets"},
	}
}

// TestWriterOfTheDatabase: who can write the database, but has no seal key, revives no token, widens no scope, and
// stops nothing but what he destroys, in a running gate and in one that starts.
func TestWriterOfTheDatabase(t *testing.T) {
	for name, c := range attacks() {
		t.Run("sqlite/"+name, func(t *testing.T) {
			t.Parallel()
			writeTheDatabase(t, "", name, c)
		})
	}
	t.Run("postgres", func(t *testing.T) { // one after the other: each has several pools of connections
		t.Parallel()
		for name, c := range attacks() {
			t.Run(name, func(t *testing.T) {
				writeTheDatabase(t, fmt.Sprintf("database: %q\n", postgres.URL(t)), name, c)
			})
		}
	})
}

func writeTheDatabase(t *testing.T, head, name string, c attack) {
	b := newBed(t, func(url string) string { return head + two(url) })
	w := b.writer()
	revoked, narrow := b.issueFor("revoked", "*"), b.issueFor("narrow", "mail")
	b.put("gone", "sk-live-canary-gone")
	if _, err := b.state.AuditKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.keep(vouchedTables()...)
	b.revoke("revoked")
	b.put("crm", "sk-live-canary-2")
	if err := b.state.Builtin.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	gate := b.serve()
	c.do(w)
	check := func(a *app.App, when string) {
		t.Helper()
		if got := b.asks(a, revoked, "crm"); got != 407 {
			t.Errorf("%s: the revoked token is answered with %d", when, got)
		}
		if got := b.asks(a, narrow, "crm"); got != 403 && got != 407 {
			t.Errorf("%s: the narrow token is answered with %d", when, got)
		}
		if got := b.asks(a, b.token, "crm"); got == 200 && b.api.last() != "Bearer sk-live-canary-2" {
			t.Errorf("%s: the API received %q", when, b.api.last())
		}
		if _, _, err := b.state.Builtin.Get(t.Context(), "gone", "1"); err == nil {
			t.Errorf("%s: the deleted secret is back", when)
		}
	}
	b.changed("tokens")
	b.changed("secrets")
	check(gate, "running")
	if got := b.asks(gate, b.token, "crm"); got != 200 {
		t.Errorf("running: a good token is answered with %d", got)
	}
	if got := b.asks(gate, narrow, "mail"); got != 200 {
		t.Errorf("running: the narrow token is answered with %d within its scope", got)
	}
	gate.TellAltered(t.Context())
	ready := b.get(gate.AdminURL() + "/readyz")
	if ready.status != 200 && c.part == "tokens" && !strings.Contains(name, "everything") ||
		!strings.Contains(ready.body, "rows of "+c.part) {
		t.Errorf("/readyz says %d %s", ready.status, ready.body)
	}
	if !strings.Contains(b.log.String(), "ROWS OF THE DATABASE ARE LEFT OUT") {
		t.Error("the log says nothing")
	}
	if err := gate.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := b.serve()
	check(again, "started again")
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}

	// A replica that has never seen this database; what was put back whole deceives it, as the threat model says.
	if err := os.RemoveAll(filepath.Join(b.load().Data, "ledger")); err != nil {
		t.Fatal(err)
	}
	if !putBackWhole(name) {
		b.state = b.open()
		check(b.serve(), "with a memory of nothing")
	}
}

// TestRevokeWorksWhateverIsInTheTable: of its own token, of one whose row was altered or taken away, and of others.
func TestRevokeWorksWhateverIsInTheTable(t *testing.T) {
	for name, statement := range map[string]string{
		"malformed":    "INSERT INTO proxy_token (id, name, number, hash, scope, pending, created) VALUES ('bad', 'victim', 2, x'00', '{', 'y', 'z')",
		"altered":      "UPDATE proxy_token SET scope = '{' WHERE name = 'victim'",
		"renamed":      "UPDATE proxy_token SET name = 'other' WHERE name = 'victim'",
		"taken away":   "DELETE FROM proxy_token WHERE name = 'victim'",
		"list is gone": "DELETE FROM ledger",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, two)
			w := b.writer()
			victim, other := b.issueFor("victim", "*"), b.issueFor("bystander", "*")
			w.keep("proxy_token")
			w.do(statement)
			b.state = b.open() // a command, which knows what is beside the database
			for _, one := range []string{"victim", "bystander"} {
				if n, err := b.state.Tokens.Revoke(t.Context(), one); err != nil || n != 1 {
					t.Errorf("revoking %s: got %d, %v", one, n, err)
				}
			}
			w.putBack("proxy_token")
			if _, _, err := b.state.Tokens.Issue(t.Context(), "victim", token.Scope{Services: []string{"crm"}},
				time.Time{}); err != nil && name != "taken away" {
				t.Errorf("issuing the next: %v", err)
			}
			b.state = b.open()
			gate := b.serve()
			for which, value := range map[string]string{"victim": victim, "bystander": other} {
				if got := b.asks(gate, value, "crm"); got != 407 {
					t.Errorf("%s is answered with %d", which, got)
				}
			}
			if got := b.asks(gate, b.token, "crm"); got != 200 {
				t.Errorf("a token that nobody touched is answered with %d", got)
			}
		})
	}
}

// firstForm wraps a keyset as package seal does, in one of its forms.
type firstForm struct {
	seal.Keeper
	form string
}

func (f firstForm) EncryptWithContext(ctx context.Context, plaintext, _ []byte) ([]byte, error) {
	return f.Encrypt(ctx, append([]byte(f.form), plaintext...))
}

func (f firstForm) DecryptWithContext(ctx context.Context, ciphertext, _ []byte) ([]byte, error) {
	plaintext, err := f.Decrypt(ctx, ciphertext)
	return bytes.TrimPrefix(plaintext, []byte(f.form)), err
}

// older makes the database one of a Sallyport that knew no ledger.
func (w writer) older(b *bed) {
	w.t.Helper()
	keeper, err := seal.KeyFromFile(b.load().Seal.KeyFile)
	if err != nil {
		w.t.Fatal(err)
	}
	var wrapped []byte
	if err := w.db.QueryRowContext(w.t.Context(),
		"SELECT wrapped FROM keyset WHERE name = 'records'").Scan(&wrapped); err != nil {
		w.t.Fatal(err)
	}
	now, before := firstForm{keeper, "sallyport keyset 2\x00"}, firstForm{keeper, "sallyport keyset 1\x00"}
	handle, err := keyset.ReadWithContext(w.t.Context(), keyset.NewBinaryReader(bytes.NewReader(wrapped)),
		now, []byte(now.form))
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	if err := handle.WriteWithContext(w.t.Context(), keyset.NewBinaryWriter(&out), before,
		[]byte(before.form)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.db.ExecContext(w.t.Context(), "UPDATE keyset SET wrapped = $1 WHERE name = 'records'",
		out.Bytes()); err != nil {
		w.t.Fatal(err)
	}
	w.do("DELETE FROM ledger", "DELETE FROM keyset WHERE name = 'mac/rows'")
	if err := os.RemoveAll(filepath.Join(b.load().Data, "ledger")); err != nil {
		w.t.Fatal(err)
	}
}

// TestOlderDatabaseIsAdoptedOnce: its rows go on record at the first start, and never again.
func TestOlderDatabaseIsAdoptedOnce(t *testing.T) {
	b := newBed(t, two)
	w := b.writer()
	revoked := b.issueFor("revoked", "*")
	b.put("crm", "sk-live-canary-2")
	b.revoke("revoked")
	w.older(b)
	w.keep("keyset", "ledger", "proxy_token")

	b.state = b.open()
	gate := b.serve()
	if got := b.asks(gate, b.token, "crm"); got != 200 || b.api.last() != "Bearer sk-live-canary-2" {
		t.Errorf("after the upgrade: got %d, and the API %q", got, b.api.last())
	}
	if reports, err := b.state.Check(t.Context()); err != nil || !reports[0].OK() ||
		!reports[1].OK() || !reports[2].OK() {
		t.Errorf("after the upgrade: %v %v", reports, err)
	}
	if err := gate.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		again func()
	}{
		{"without its list", func() { w.do("DELETE FROM ledger") }},
		{"as before the upgrade", func() {
			w.putBack("ledger", "proxy_token")
			w.do("UPDATE keyset SET wrapped = (SELECT wrapped FROM kept_keyset WHERE name = 'records') WHERE name = " +
				"'records'")
		}},
		{"without list, and nothing beside it", func() { // the last: from here on nothing is remembered
			w.do("DELETE FROM ledger")
			if err := os.RemoveAll(filepath.Join(b.load().Data, "ledger")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.do("UPDATE proxy_token SET revoked = 0")
			c.again()
			w.do("UPDATE proxy_token SET revoked = 0")
			gate := b.serve()
			if got := b.asks(gate, revoked, "crm"); got != 407 {
				t.Errorf("the revoked token is answered with %d", got)
			}
			if err := gate.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.do("UPDATE proxy_token SET revoked = 1 WHERE name = 'revoked'")
		})
	}
}

// TestRestoredDatabase: an older database, put back whole, revives nothing that was revoked or replaced since; what has
// not changed since goes on. A person has the rest count again, and what was revoked stays revoked.
func TestRestoredDatabase(t *testing.T) {
	b := newBed(t, two)
	revoked, rotated := b.issueFor("revoked", "*"), b.issueFor("rotated", "*")
	b.put("kept", "sk-live-canary-kept")
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := b.state.DB.ExecContext(t.Context(), "VACUUM INTO '"+backup+"'"); err != nil {
		t.Fatal(err)
	}
	b.revoke("revoked")
	if _, _, err := b.state.Tokens.Rotate(t.Context(), "rotated", 0); err != nil {
		t.Fatal(err)
	}
	late := b.issueFor("late", "*")
	b.put("crm", "sk-live-canary-2")
	if err := b.state.Close(); err != nil {
		t.Fatal(err)
	}
	data := b.load().Data
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(filepath.Join(data, "sallyport.db"+suffix))
	}
	text, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "sallyport.db"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	b.state = b.open()
	gate := b.serve()
	want := func(when string, statuses map[string]int) {
		t.Helper()
		for value, status := range statuses {
			if got := b.asks(gate, value, "crm"); got != status {
				t.Errorf("%s: token %s is answered with %d, want %d", when, value[:14], got, status)
			}
		}
	}
	want("restored", map[string]int{revoked: 407, rotated: 407, late: 407, b.token: 503})
	if v, _, err := b.state.Builtin.Get(t.Context(), "kept", ""); err != nil ||
		string(v.Reveal()) != "sk-live-canary-kept" {
		t.Errorf("what has not changed since: %v", err)
	}
	b.get(gate.AdminURL()+"/readyz").is(t, 503, "an older database was put back")

	if err := b.state.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("accepted", map[string]int{revoked: 407, rotated: 407, late: 407, b.token: 200})
	if b.api.last() != "Bearer sk-live-canary-1" {
		t.Errorf("the API received %q", b.api.last())
	}
	if v, err := b.state.Builtin.Put(t.Context(), "crm", secret.NewValue([]byte("sk-live-canary-3"))); err != nil ||
		v.ID != "3" {
		t.Errorf("the next version: %v %v, and 2 was given out before", v, err)
	}
	gate.TellAltered(t.Context())
	if body := b.get(gate.AdminURL() + "/readyz").body; strings.Contains(body, "rows of") {
		t.Errorf("/readyz says %s", body)
	}
}

// TestListBesideTheDatabaseIsAltered: what keeps revoked tokens revoked is not ignored.
func TestListBesideTheDatabaseIsAltered(t *testing.T) {
	b := newBed(t, two)
	path := filepath.Join(b.load().Data, "ledger", "tokens")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = app.Open(context.Background(), b.load())
	if err == nil || fault.HintOf(err) == "" {
		t.Errorf("got %v, want a refusal with a hint", err)
	}
}

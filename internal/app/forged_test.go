package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/link"
)

// TestForgedReplicas: rows of the table `replica` are not authenticated. Whatever stands in them, a revocation is made,
// and the gates that run refuse the token. What can be forged is the report: a replica that does not exist is named and
// waited for at most as long as --wait says, and a confirmation can be made up.
func TestForgedReplicas(t *testing.T) {
	const row = "INSERT INTO replica (id, home, host, address, version, started, seen, accepts_until, acted, behind) " +
		"VALUES "
	far := "9223372036854775807"
	for name, c := range map[string]struct {
		do   func(w writer)
		late int // how many are named
	}{
		"confirmed by nobody":  {func(w writer) { w.do("UPDATE replica SET acted = " + far + ", behind = '[]'") }, 0},
		"taken off the list":   {func(w writer) { w.do("DELETE FROM replica") }, 0},
		"as if it had stopped": {func(w writer) { w.do("UPDATE replica SET accepts_until = 0, acted = 0") }, 0},
		"one that is not there": {func(w writer) {
			w.do(row + "('ghost', '', 'x', 'y', 'z', 0, 0, " + far + ", 0, '[]')")
		}, 1},
		"numbers out of every range": {func(w writer) {
			w.do(row+"('least', '', '', '', '', -"+far+", -"+far+" - 1, -"+far+" - 1, -"+far+" - 1, '[]')",
				row+"('most', '', '', '', '', "+far+", "+far+", "+far+", 0, '[]')")
		}, 1},
		"no form at all": {func(w writer) {
			w.do(row + "('none', '', '', '', '', 0, 0, " + far + ", " + far + ", '{')")
		}, 1},
		"a name that commands a terminal": {func(w writer) {
			w.do(row + "('gh\x1b[2Jost', '', '\u202ehost\n', '\x1b]0;', '', 0, 0, " + far + ", 0, '[]')")
		}, 1},
		"an endless name": {func(w writer) {
			w.do(row + "('long', '', " + w.long(20000000) + ", " + w.long(20000000) + ", 'z', 0, 0, " + far + ", 0, " +
				w.long(20000000) + ")")
		}, 1},
	} {
		onBoth(t, func(t *testing.T, head string) {
			t.Run(name, func(t *testing.T) {
				b := newBed(t, func(url string) string { return head + one("")(url) })
				gate, victim := b.serve(), b.issue("victim")
				if got := b.asks(gate, victim, "crm"); got != 200 {
					t.Fatalf("before it is answered with %d", got)
				}
				if _, err := b.state.Tokens.Revoke(t.Context(), "victim"); err != nil {
					t.Fatal(err)
				}
				c.do(b.writer())
				b.state.Wait = 300 * time.Millisecond
				err := b.state.Changed(t.Context(), "tokens")
				late, named := errors.AsType[*app.UnconfirmedError](err)
				if err != nil && !named || named != (c.late > 0) || named &&
					(len(late.Replicas) != c.late || fault.ExitOf(err) != fault.ExitUnconfirmed) {
					t.Errorf("got %v, want %d named", err, c.late)
				}
				if text := fmt.Sprint(err, fault.HintOf(err)); strings.ContainsAny(text,
					"\x1b\u202e") || len(text) > 4096 {
					t.Errorf("the report is %.300q of %d bytes", text, len(text))
				}
				if got := b.asks(gate, victim, "crm"); got != 407 {
					t.Errorf("the gate answers the revoked token with %d", got)
				}
			})
		})
	}
}

// TestForgedConfirmation: a replica that is cut off from the database, and whose confirmation is made up there, stops
// accepting after max_stale all the same: that bound rests on its own clock and on no row.
func TestForgedConfirmation(t *testing.T) {
	var cut *link.Link
	beds, gates := three(t, "revocation: {max_stale: 2s, wait: 20s}\n", func(database string) (through string) {
		cut, through = postgres.Through(t, database)
		return through
	})
	here, victim := beds[0], beds[0].issue("victim")
	cut.Stall()
	if _, err := here.state.Tokens.Revoke(t.Context(), "victim"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	here.writer().do("UPDATE replica SET acted = 9223372036854775807, behind = '[]'")
	here.changed("tokens") // it believes that
	for i, b := range beds {
		b.until("the token is refused", func() bool { return b.asks(gates[i], victim, "crm") != 200 })
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the cut replica accepted it for %s, with max_stale 2s", took)
	}
}

// TestForgedDerivedTokens: rows of the table `derived_token` are sealed as their name and version, and have no list
// that tells of an older one. What that is worth to an attacker: he can have a spent refresh token spent again, upon
// which the provider ends the grant and a person is asked for; deleting the row does the same. No token goes where
// another belongs.
func TestForgedDerivedTokens(t *testing.T) {
	const ofCRM, lark = "FROM derived_token WHERE name LIKE '%crm%'", " WHERE name LIKE '%lark%'"
	for name, c := range map[string]struct {
		do     []string
		status map[string]int // of the services afterwards, in a gate that starts; 0: any but 200
	}{
		"an older one put back": {
			[]string{"DELETE FROM derived_token", "INSERT INTO derived_token SELECT * FROM kept_derived_token"},
			map[string]int{"crm": 0, "lark": 200},
		},
		"that of another service": {
			[]string{"UPDATE derived_token SET sealed = (SELECT sealed " + ofCRM + "), version = (SELECT version " +
				ofCRM + ")" + lark}, map[string]int{"crm": 200, "lark": 503},
		},
		"nonsense":   {[]string{"UPDATE derived_token SET sealed = x'00'" + lark}, map[string]int{"crm": 200, "lark": 503}},
		"taken away": {[]string{"DELETE FROM derived_token" + lark}, map[string]int{"crm": 200, "lark": 200}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newDerivedBed(t, "", atServer("crm", refreshing(", refresh_token: ref+builtin://refresh"))+
				atServer("lark", loginCall("")))
			b.put("refresh", b.tokens.Grant("basic"))
			w, gate := b.writer(), b.serve()
			use := func(a *app.App, want map[string]int, when string) {
				t.Helper()
				for service, status := range want {
					if got := b.get(a.GatewayURL() + "/s/" + service + "/api"); got.status != status &&
						(status != 0 || got.status == 200) {
						t.Errorf("%s: %s is answered with %d %s, want %d", when, service, got.status, got.body, status)
					}
				}
			}
			fine := map[string]int{"crm": 200, "lark": 200}
			use(gate, fine, "at first")
			w.keep("derived_token")
			b.expireAll()
			use(gate, fine, "with the second tokens")
			w.do(c.do...)
			use(gate, fine, "a running gate")
			if err := gate.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			again := b.serve()
			use(again, c.status, "started again")
			b.wantNoSecret(again)
		})
	}
}

package app_test

import (
	"testing"
)

// doubts are how often a gate is known to have ended without writing down what it had counted.
func (b *bed) doubts() (n int) {
	b.t.Helper()
	err := b.state.DB.QueryRowContext(b.t.Context(),
		"SELECT coalesce(sum(uses), 0) FROM secret_use WHERE version = ''").Scan(&n)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestKilledGateIsInDoubt: what a gate that was killed had counted is gone, so the next one on its data directory has
// the grace time of every rotation begin again. One that was stopped has written down everything.
func TestKilledGateIsInDoubt(t *testing.T) {
	b := newBed(t, rotated(newLocked(t), ""))
	b.put("crm", "canary-of-before")
	first := b.serve()
	b.get(first.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	var counted int
	if err := b.state.DB.QueryRowContext(t.Context(), "SELECT sum(uses) FROM secret_use").Scan(&counted); err != nil ||
		counted != 1 {
		t.Errorf("a gate that was stopped has written down %d uses (%v)", counted, err)
	}
	b.process().kill()
	if n := b.doubts(); n != 0 {
		t.Errorf("after a stop there are %d doubts", n)
	}
	b.serve()
	if n := b.doubts(); n != 1 {
		t.Errorf("after a kill there are %d doubts", n)
	}
}

package token

import "time"

// The states of a generation.
const (
	Current  = "current"  // accepted; the newest that a rotation has finished
	Pending  = "pending"  // accepted; a rotation is handing it to its consumers
	Retiring = "retiring" // accepted until RetireAt; a newer one is current
	Expired  = "expired"  // refused: past Expires or RetireAt
	Revoked  = "revoked"  // refused: by Revoke or Abort
)

// Generation is one value in the life of a named token; never the value itself. Zero times mean "never".
type Generation struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Number       int       `json:"number"` // 1, 2, 3, … per name
	Scope        Scope     `json:"scope"`
	Pending      bool      `json:"pending"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires,omitzero"`
	RetireAt     time.Time `json:"retire_at,omitzero"` // the end of the overlap
	Revoked      time.Time `json:"revoked,omitzero"`
	LastUsed     time.Time `json:"last_used,omitzero"`
	LastWorkflow string    `json:"last_workflow,omitempty"` // as the caller named it
	Uses         []Use     `json:"workflows,omitempty"`     // by whom it was used, the latest first: of List alone
}

// State is one of the constants above.
func (g *Generation) State(now time.Time) string {
	switch {
	case !g.Revoked.IsZero():
		return Revoked
	case past(g.Expires, now), past(g.RetireAt, now):
		return Expired
	case g.Pending:
		return Pending
	case !g.RetireAt.IsZero():
		return Retiring
	}
	return Current
}

// Last returns the latest generation of name in list that a rotation has finished, whatever its state, or nil. One that
// is pending, or whose rotation was aborted (it stays Pending and is Revoked), is none.
func Last(list []Generation, name string) (last *Generation) {
	for i := range list {
		if g := &list[i]; g.Name == name && !g.Pending && (last == nil || g.Number > last.Number) {
			last = g
		}
	}
	return last
}

func past(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// Grant is a verified token. It is immutable and may be kept for the length of a request. What it may do is up to the
// configuration too: Scopes.Of tells.
type Grant struct {
	ID      string
	Name    string
	Number  int
	Created time.Time
	Expires time.Time // zero: never
	Retires time.Time // zero: not being replaced

	revoked bool
	hash    [hashSize]byte
	stored  *Rules // of the scope that it was issued with
	used    *usage
}

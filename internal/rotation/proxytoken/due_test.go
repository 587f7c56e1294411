package proxytoken_test

import (
	"testing"
	"time"

	"sallyport/internal/boundary/token"
	"sallyport/internal/rotation/proxytoken"
)

// TestDueAt: a token is due when it is as old as it may get, or has run out before; never one that a person revoked,
// and not one that a rotation has not finished.
func TestDueAt(t *testing.T) {
	const day = 24 * time.Hour
	made := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		list []token.Generation
		want time.Time
	}{
		"never issued": {nil, time.Time{}},
		"age":          {[]token.Generation{{Name: "n8n", Number: 1, Created: made}}, made.Add(day)},
		"end first": {
			[]token.Generation{{Name: "n8n", Number: 1, Created: made, Expires: made.Add(time.Hour)}},
			made.Add(time.Hour),
		},
		"end " +
			"later": {[]token.Generation{{Name: "n8n", Number: 1, Created: made, Expires: made.Add(2 * day)}}, made.Add(day)},
		"revoked": {[]token.Generation{{Name: "n8n", Number: 1, Created: made, Revoked: made.Add(1)}}, time.Time{}},
		"unfinished": {
			[]token.Generation{
				{Name: "n8n", Number: 1, Created: made}, {Name: "n8n", Number: 2, Created: made.Add(day), Pending: true},
			}, made.Add(day),
		},
		"the last counts": {
			[]token.Generation{
				{Name: "n8n", Number: 1, Created: made, RetireAt: made.Add(day)},
				{Name: "n8n", Number: 2, Created: made.Add(day)},
				{Name: "other", Number: 3, Created: made},
			}, made.Add(2 * day),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := proxytoken.DueAt(c.list, "n8n", day); !got.Equal(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

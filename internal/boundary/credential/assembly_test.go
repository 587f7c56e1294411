package credential_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// changing is a Source whose token changes when it is told to.
type changing struct {
	mu    sync.Mutex
	token derive.Token
	next  string
	err   error

	beside string
}

func (c *changing) Current() (derive.Token, *fault.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token.Serial == 0 {
		return derive.Token{}, fault.New(fault.CredentialMissing, "none yet")
	}
	return c.token, nil
}

func (c *changing) Token(context.Context) (derive.Token, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return derive.Token{}, c.err
	}
	c.token = derive.Token{
		Secret: secret.NewValue([]byte(c.next)), Expiry: time.Unix(1_700_000_000, 0),
		Serial: c.token.Serial + 1, Beside: secret.NewValue([]byte(c.beside)),
	}
	return c.token, nil
}

func (c *changing) Expired(ctx context.Context, _ derive.Token) (derive.Token, error) {
	return c.Token(ctx)
}

func bearerOf(t *testing.T, m *credential.Material) string {
	t.Helper()
	o := credential.Outgoing{Header: make(http.Header)}
	if f := m.Inject(t.Context(), &o); f != nil {
		t.Fatal(f)
	}
	return o.Header.Get("Authorization")
}

// TestDerivedMaterial: a Material is as new as its token, and keeps the token before it from coming back.
func TestDerivedMaterial(t *testing.T) {
	s := &changing{next: "first-token"}
	r, err := credential.NewAssembly([]credential.Part{{
		Spec: credential.Spec{Kind: "bearer"}, Source: s,
		Versions: []string{"client@3"}, Hidden: []secret.Value{secret.NewValue([]byte("client-secret"))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var h credential.Holder
	if h.Known() != nil {
		t.Error("something is known of nothing")
	}
	h.Set(r)
	if _, n := h.Known().String("client-secret first-token"); n != 1 {
		t.Error("what a token is made with is not known before there is one")
	}
	first, f := h.Current(t.Context())
	if f != nil || bearerOf(t, first) != "Bearer first-token" ||
		strings.Join(first.Versions, " ") != "client@3 token@20231114T221320Z" || h.Known() != first.Forms() {
		t.Fatalf("got %q, %v", first.Versions, f)
	}
	if again, _ := h.Current(t.Context()); again != first {
		t.Error("the Material was built again")
	}
	s.next = "second-token"
	second, f := h.Renew(t.Context(), first)
	if f != nil || bearerOf(t, second) != "Bearer second-token" || bearerOf(t, first) != "Bearer first-token" {
		t.Fatalf("got %v", f)
	}
	if got, n := second.Forms().String("first-token second-token client-secret third-token"); n != 3 ||
		got != "*********** ************ ************* third-token" {
		t.Errorf("got %q", got)
	}
	if now, _ := h.Current(t.Context()); now != second {
		t.Error("the older Material is active again")
	}
	s.next = "line\r\nbreak"
	if m, f := h.Renew(t.Context(), second); m != nil || f == nil || f.Code != fault.CredentialMintFailed ||
		strings.Contains(f.Error(), "break\"") {
		t.Errorf("a token with a line break: got %v, %v", m, f)
	}
	s.err = errors.New("something")
	if m, f := h.Renew(t.Context(), second); m != nil || f == nil || f.Code != fault.CredentialMintFailed {
		t.Errorf("got %v, %v", m, f)
	}
}

// TestRenewAfterAChange: an assembly that has been replaced is not renewed; the active one has a newer token. Where it
// has begun with the very token that the API says is expired, that is renewed.
func TestRenewAfterAChange(t *testing.T) {
	assembly := func(s *changing) *credential.Assembly {
		r, err := credential.NewAssembly([]credential.Part{{Spec: credential.Spec{Kind: "bearer"}, Source: s}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var h credential.Holder
	h.Set(assembly(&changing{next: "first-token"}))
	used, _ := h.Current(t.Context())
	other := &changing{next: "other-token"}
	h.Set(assembly(other))
	m, f := h.Renew(t.Context(), used)
	if f != nil || other.token.Serial != 1 {
		t.Fatalf("got %v, token %d", f, other.token.Serial)
	}
	if _, n := m.Forms().String("first-token other-token"); n != 2 {
		t.Error("the token that was used may come back")
	}
	same := &changing{next: "first-token"}
	h.Set(assembly(same))
	if _, f := h.Current(t.Context()); f != nil {
		t.Fatal(f)
	}
	same.next = "third-token"
	if m, f := h.Renew(t.Context(), used); f != nil || bearerOf(t, m) != "Bearer third-token" ||
		same.token.Serial != 2 {
		t.Errorf("got %v, token %d", f, same.token.Serial)
	}
	h.Fail(fault.New(fault.CredentialMissing, "gone"), false)
	if m, f := h.Renew(t.Context(), used); m != nil || f == nil {
		t.Errorf("got %v, %v", m, f)
	}
}

// TestOldTokensStay: a request that has been on its way while the token changed more than once gets neither of them
// back, nor the refresh token that is on record beside one.
func TestOldTokensStay(t *testing.T) {
	s := &changing{next: "first-token", beside: "refresh-one"}
	r, err := credential.NewAssembly([]credential.Part{{Spec: credential.Spec{Kind: "bearer"}, Source: s}})
	if err != nil {
		t.Fatal(err)
	}
	var h credential.Holder
	h.Set(r)
	used, _ := h.Current(t.Context())
	for _, next := range []string{"second-token", "third-token", "fourth-token"} {
		s.next, s.beside = next, "refresh-of-"+next
		now, f := h.Current(t.Context())
		if f == nil {
			_, f = h.Renew(t.Context(), now)
		}
		if f != nil {
			t.Fatal(f)
		}
	}
	s.next = "fifth-token"
	m, f := h.Renew(t.Context(), used)
	if f != nil {
		t.Fatal(f)
	}
	if got, n := m.Forms().String("first-token refresh-one fourth-token refresh-of-fourth-token fifth-token"); n != 5 {
		t.Errorf("got %q", got)
	}
	if again, _ := h.Current(t.Context()); bearerOf(t, again) != "Bearer fifth-token" {
		t.Error("another token is active")
	}
}

func TestAssemblyRefuses(t *testing.T) {
	value := secret.NewValue([]byte(canary))
	for name, parts := range map[string][]credential.Part{
		"one header twice":       {{Spec: credential.Spec{Kind: "bearer"}, Value: value}, {Spec: credential.Spec{Kind: "basic", Username: "me"}, Value: value}},
		"a token in no place":    {{Spec: credential.Spec{Kind: "sideways"}, Source: &changing{}}},
		"a token in a bad place": {{Spec: credential.Spec{Kind: "cookie", Cookie: "a b"}, Source: &changing{}}},
		"a body as what":         {{Spec: credential.Spec{Kind: "body", Pointer: "/a", As: "xml"}, Value: value}},
		"a form in depth":        {{Spec: credential.Spec{Kind: "body", Pointer: "/a/b", As: "form"}, Value: value}},
		"a path with a slash":    {{Spec: credential.Spec{Kind: "path", Format: "/{secret}"}, Value: value}},
	} {
		if _, err := credential.NewAssembly(parts); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// hanging is a Source whose provider never answers.
type hanging struct{ asked chan struct{} }

func (h *hanging) Current() (derive.Token, *fault.Fault) {
	return derive.Token{}, fault.New(fault.CredentialMissing, "none yet")
}

func (h *hanging) Token(ctx context.Context) (derive.Token, error) {
	h.asked <- struct{}{}
	<-ctx.Done()
	return derive.Token{}, context.Cause(ctx)
}

func (h *hanging) Expired(ctx context.Context, _ derive.Token) (derive.Token, error) {
	return h.Token(ctx)
}

// TestWaitingIsBounded: the gate's room is not for one service's requests that wait for its provider.
func TestWaitingIsBounded(t *testing.T) {
	s := &hanging{make(chan struct{})}
	r, err := credential.NewAssembly([]credential.Part{{Spec: credential.Spec{Kind: "bearer"}, Source: s}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 512 {
		wg.Go(func() {
			if _, f := r.Material(ctx); f == nil || f.Code != fault.ClientGone {
				t.Errorf("got %v", f)
			}
		})
		<-s.asked
	}
	if _, f := r.Material(ctx); f == nil || f.Code != fault.CredentialMintFailed || f.RetryAfter == 0 {
		t.Errorf("got %v", f)
	}
	leave()
	wg.Wait()
}

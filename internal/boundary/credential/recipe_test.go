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
	c.token = derive.Token{Secret: secret.NewValue([]byte(c.next)), Expiry: time.Unix(1_700_000_000, 0), Serial: c.token.Serial + 1}
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
	r, err := credential.NewRecipe([]credential.Part{{Spec: credential.Spec{Kind: "bearer"}, Source: s, Versions: []string{"client@3"}, Hidden: []secret.Value{secret.NewValue([]byte("client-secret"))}}})
	if err != nil {
		t.Fatal(err)
	}
	var h credential.Holder
	h.Set(r)
	if h.Known() != nil {
		t.Error("there is a Material before there is a token")
	}
	first, f := h.Current(t.Context())
	if f != nil || bearerOf(t, first) != "Bearer first-token" || strings.Join(first.Versions, " ") != "client@3 token@20231114T221320Z" || h.Known() != first {
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
	if got, n := second.Forms.String("first-token second-token client-secret third-token"); n != 3 || got != "*********** ************ ************* third-token" {
		t.Errorf("got %q", got)
	}
	if now, _ := h.Current(t.Context()); now != second {
		t.Error("the older Material is in force again")
	}
	s.next = "line\r\nbreak"
	if m, f := h.Renew(t.Context(), second); m != nil || f == nil || f.Code != fault.CredentialMintFailed || strings.Contains(f.Error(), "break\"") {
		t.Errorf("a token with a line break: got %v, %v", m, f)
	}
	s.err = errors.New("something")
	if m, f := h.Renew(t.Context(), second); m != nil || f == nil || f.Code != fault.CredentialMintFailed {
		t.Errorf("got %v, %v", m, f)
	}
}

// TestRenewAfterAChange: a recipe that has been replaced is not renewed; the one in force is the newer one.
func TestRenewAfterAChange(t *testing.T) {
	s := &changing{next: "first-token"}
	recipe := func() *credential.Recipe {
		r, err := credential.NewRecipe([]credential.Part{{Spec: credential.Spec{Kind: "bearer"}, Source: s}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var h credential.Holder
	h.Set(recipe())
	used, _ := h.Current(t.Context())
	h.Set(recipe())
	if _, f := h.Renew(t.Context(), used); f != nil || s.token.Serial != 1 {
		t.Errorf("got %v, token %d", f, s.token.Serial)
	}
	h.Fail(fault.New(fault.CredentialMissing, "gone"), false)
	if m, f := h.Renew(t.Context(), used); m != nil || f == nil {
		t.Errorf("got %v, %v", m, f)
	}
}

func TestRecipeRefuses(t *testing.T) {
	value := secret.NewValue([]byte(canary))
	for name, parts := range map[string][]credential.Part{
		"one header twice":       {{Spec: credential.Spec{Kind: "bearer"}, Value: value}, {Spec: credential.Spec{Kind: "basic", Username: "me"}, Value: value}},
		"a token in no place":    {{Spec: credential.Spec{Kind: "sideways"}, Source: &changing{}}},
		"a token in a bad place": {{Spec: credential.Spec{Kind: "cookie", Cookie: "a b"}, Source: &changing{}}},
		"a body as what":         {{Spec: credential.Spec{Kind: "body", Pointer: "/a", As: "xml"}, Value: value}},
		"a form in depth":        {{Spec: credential.Spec{Kind: "body", Pointer: "/a/b", As: "form"}, Value: value}},
		"a path with a slash":    {{Spec: credential.Spec{Kind: "path", Format: "/{secret}"}, Value: value}},
	} {
		if _, err := credential.NewRecipe(parts); err == nil || strings.Contains(err.Error(), "canary") {
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
	r, err := credential.NewRecipe([]credential.Part{{Spec: credential.Spec{Kind: "bearer"}, Source: s}})
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

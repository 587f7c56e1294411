package vault_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/secret/vault"
	vaultkit "sallyport/internal/testkit/vault"
)

// meter is a proxy before a Vault that counts requests by the end of their path.
type meter struct {
	address string
	mu      sync.Mutex
	counted map[string]int
}

func metered(t *testing.T, server *vaultkit.Server) *meter {
	t.Helper()
	target, err := url.Parse(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{counted: make(map[string]int)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.counted[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]++
		m.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	m.address = front.URL
	return m
}

func (m *meter) count(end string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counted[end]
}

// running runs the store until the test ends.
func running(t *testing.T, store *vault.Store) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("running the store: %v", err)
		}
	})
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	path := scene(t, server, "expiring")
	m := metered(t, server)
	store := open(t,
		vault.Options{
			Address: m.address,
			AppRole: role(t, server, "expiring", map[string]any{"token_ttl": "1s", "token_max_ttl": "1s"}),
		})
	until(t, func() bool { wantValue(t, store, path); return m.count("login") >= 3 })
}

func TestTokenOfFewUses(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	path := scene(t, server, "counted")
	store := open(t,
		vault.Options{
			Address: server.Address,
			AppRole: role(t, server, "counted", map[string]any{"token_num_uses": 3}),
		})
	for range 10 {
		wantValue(t, store, path)
	}
}

func TestTokenIsRevoked(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	path := scene(t, server, "revoked")
	m := metered(t, server)
	store := open(t, vault.Options{Address: m.address, Timeout: time.Minute, AppRole: role(t, server, "revoked", nil)})
	wantValue(t, store, path)
	for range 3 {
		before := m.count("login")
		server.Call(t, http.MethodPost, "sys/leases/revoke-prefix/auth/revoked/login", nil)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if _, _, err := store.Get(t.Context(), path, ""); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if logins := m.count("login") - before; logins != 1 {
			t.Errorf("%d logins for 16 callers", logins)
		}
	}
}

// TestRevokedAndBare: a role without the default policy can neither look at its token nor ask for capabilities.
func TestRevokedAndBare(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	path := scene(t, server, "bare")
	m := metered(t, server)
	store := open(t,
		vault.Options{
			Address: m.address,
			AppRole: role(t, server, "bare", map[string]any{"token_no_default_policy": true}),
		})
	wantValue(t, store, path)
	server.Call(t, http.MethodPost, "sys/leases/revoke-prefix/auth/bare/login", nil)
	wantValue(t, store, path)
	before := m.count("login")
	for range 5 {
		wantErr(t, "another secret", second(store.Get(t.Context(), "bare/other", "")), secret.ErrDenied,
			`path "bare/data/other"`)
	}
	if after := m.count("login"); after != before {
		t.Errorf("%d logins because of a policy", after-before)
	}
}

func TestTokenIsRenewed(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	path := scene(t, server, "renewed")
	m := metered(t, server)
	store := open(t,
		vault.Options{
			Address: m.address,
			AppRole: role(t, server, "renewed", map[string]any{"token_ttl": "3s", "token_max_ttl": "1h"}),
		})
	running(t, store)
	wantValue(t, store, path)
	until(t, func() bool { return m.count("renew-self") >= 3 })
	wantValue(t, store, path)
}

// TestTokenIsReplaced: a token that cannot be renewed any more is replaced before anybody needs it.
func TestTokenIsReplaced(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	for name, settings := range map[string]map[string]any{
		"aged":  {"token_ttl": "2s", "token_max_ttl": "3s"},
		"batch": {"token_ttl": "2s", "token_type": "batch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := scene(t, server, name)
			m := metered(t, server)
			store := open(t, vault.Options{Address: m.address, AppRole: role(t, server, name, settings)})
			running(t, store)
			wantValue(t, store, path)
			until(t, func() bool { return m.count("login") >= 3 })
			if n := m.count("s"); n != 2 { // its mount and its value: nobody but Run has asked since
				t.Errorf("%d requests for the secret", n)
			}
			wantValue(t, store, path)
		})
	}
}

func TestGivenTokenIsRenewed(t *testing.T) {
	t.Parallel()
	server := shared.Server(t)
	path := scene(t, server, "given")
	token := server.Token(t, map[string]any{"policies": []string{"given"}, "period": "3s"})
	m := metered(t, server)
	store := open(t, vault.Options{Address: m.address, Token: fixed(token)})
	running(t, store)
	wantValue(t, store, path)
	until(t, func() bool { return m.count("renew-self") >= 3 })
	wantValue(t, store, path)
}

func TestOutage(t *testing.T) {
	t.Parallel()
	server := vaultkit.Start(t)
	path := scene(t, server, "outage")
	store := open(t, vault.Options{
		Address: server.Address, AppRole: role(t, server, "outage", nil),
		Timeout: time.Minute,
	})
	fresh := func() *vault.Store {
		return open(t, vault.Options{Address: server.Address, Token: fixed(server.RootToken), Timeout: time.Minute})
	}
	running(t, store)
	wantValue(t, store, path)

	server.Seal(t)
	for _, s := range []*vault.Store{store, fresh()} {
		wantErr(t, "sealed", second(s.Get(t.Context(), path, "")), secret.ErrUnavailable, "operator unseal")
		wantErr(t, "sealed", first(s.List(t.Context(), "outage/")), secret.ErrUnavailable, "operator unseal")
		wantErr(t, "sealed", first(s.Put(t.Context(), path, secret.NewValue([]byte("x")))),
			secret.ErrUnavailable, "operator unseal")
	}
	server.Unseal(t)
	wantValue(t, store, path)

	server.Stop(t)
	for _, s := range []*vault.Store{store, fresh()} {
		wantErr(t, "stopped", second(s.Get(t.Context(), path, "")), secret.ErrUnavailable, server.Address)
	}
	results := store.GetBatch(t.Context(), []secret.Key{{Path: path}, {Path: "outage/t"}})
	if !errors.Is(results[0].Err, secret.ErrUnavailable) || !errors.Is(results[1].Err, secret.ErrUnavailable) {
		t.Errorf("a batch: %v", results)
	}
	server.Restart(t)
	wantValue(t, store, path)
}

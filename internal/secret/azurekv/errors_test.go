package azurekv_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/azurekv"
	"sallyport/internal/testkit/azurefake"
)

const canary = "canary-5c1b7e02d9"

func get(t *testing.T, store *azurekv.Store, path, version string) error {
	t.Helper()
	_, _, err := store.Get(t.Context(), path, version)
	return err
}

func wantErr(t *testing.T, err, want error, hint string) {
	t.Helper()
	switch {
	case !errors.Is(err, want):
		t.Errorf("got %v, want %v", err, want)
	case !strings.Contains(fault.HintOf(err), hint):
		t.Errorf("hint of %q: %q does not say %q", err, fault.HintOf(err), hint)
	case strings.Contains(err.Error()+fault.HintOf(err), canary):
		t.Errorf("%q (%q) quotes what the other side wrote", err, fault.HintOf(err))
	}
}

func TestWhatTheVaultAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		code, inner string
		want        error
		hint        string
		calls       int
	}{
		"denied by role":   {403, "Forbidden", "ForbiddenByRbac", secret.ErrDenied, `"Key Vault Secrets User" on the vault 127`, 1},
		"denied by policy": {403, "Forbidden", "AccessDenied", secret.ErrDenied, "vaults/secrets/getSecret/action", 1},
		"the firewall":     {403, "Forbidden", "ForbiddenByFirewall", secret.ErrDenied, "firewall", 1},
		"throttled":        {429, "Throttled", "", secret.ErrUnavailable, "throttles", 4},
		"500":              {500, "InternalServerError", canary + "\n", secret.ErrUnavailable, "tried again", 4},
		"503":              {503, "ServiceUnavailable", "", secret.ErrUnavailable, "tried again", 4},
		"not there":        {404, "SecretNotFound", "", secret.ErrNotFound, "", 1},
		"another server":   {404, "", "", secret.ErrUnavailable, "vault_url", 1},
		"and another":      {418, canary + "\x1b[2J", "", secret.ErrUnavailable, "vault_url", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := azurefake.New(t)
			fake.Answer = func(w http.ResponseWriter, _ *http.Request) bool {
				azurefake.Fail(w, c.status, c.code, c.inner)
				return true
			}
			err := get(t, open(t, options(fake)), "stripe", "")
			wantErr(t, err, c.want, c.hint)
			if !strings.HasPrefix(err.Error(), `reading secret "stripe" in azurekv: `) {
				t.Errorf("%q does not begin with what was being done", err)
			}
			if n := len(fake.Calls()) - 1; n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

func TestEveryActionIsNamedWhenItIsDenied(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	put(t, store, "b", "value")
	if err := store.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	ctx, value := t.Context(), secret.NewValue([]byte("new"))
	purging := options(fake)
	purging.Purge = true
	for request, c := range map[string]struct {
		action, role string
		call         func() error
	}{
		"GET /secrets/a/": {"getSecret/action", "Secrets User", func() error {
			return get(t, store, "a", "")
		}},
		"GET /secrets": {"readMetadata/action", "Secrets User", func() error {
			_, err := store.List(ctx, "")
			return err
		}},
		"GET /secrets/a/versions": {"readMetadata/action", "Secrets User", func() error {
			_, err := store.History(ctx, "a")
			return err
		}},
		"PUT /secrets/a": {"setSecret/action", "Secrets Officer", func() error {
			_, err := store.Put(ctx, "a", value)
			return err
		}},
		"POST /deletedsecrets/b/recover": {"recover/action", "Secrets Officer", func() error {
			_, err := store.Put(ctx, "b", value)
			return err
		}},
		"DELETE /secrets/a": {"delete)", "Secrets Officer", func() error {
			return store.Delete(ctx, "a")
		}},
	} {
		fake.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method+" "+r.URL.Path != request {
				return false
			}
			azurefake.Fail(w, 403, "Forbidden", "ForbiddenByRbac")
			return true
		}
		wantErr(t, c.call(), secret.ErrDenied, "vaults/secrets/"+c.action)
		wantErr(t, c.call(), secret.ErrDenied, c.role)
	}
	fake.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method+" "+r.URL.Path != "DELETE /deletedsecrets/a" {
			return false
		}
		azurefake.Fail(w, 403, "Forbidden", "ForbiddenByRbac")
		return true
	}
	wantErr(t, open(t, purging).Delete(ctx, "a"), secret.ErrDenied, "purge/action")
}

func TestWritingWithoutReading(t *testing.T) {
	fake := azurefake.New(t)
	fake.Answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		azurefake.Fail(w, 403, "Forbidden", "ForbiddenByRbac")
		return true
	}
	store := open(t, options(fake))
	put(t, store, "a", "one")
	put(t, store, "a", "two")
}

func TestThrottlingThatPasses(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	left := 2
	fake.Answer = func(w http.ResponseWriter, _ *http.Request) bool {
		if left == 0 {
			return false
		}
		left--
		azurefake.Fail(w, 429, "Throttled", "")
		return true
	}
	want(t, store, "a", "", "value")
}

func TestHalfAnswers(t *testing.T) {
	id := `"id":"https://x/secrets/a/` + strings.Repeat("0", 32) + `"`
	for name, answer := range map[string]func(w http.ResponseWriter){
		"nothing":      func(w http.ResponseWriter) {},
		"an empty one": func(w http.ResponseWriter) { _, _ = w.Write([]byte("{}")) },
		"no id":        func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"value":"` + canary + `"}`)) },
		"no version": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"value":"` + canary + `","id":"https://x/secrets/a"}`))
		},
		"a bad id":   func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"value":"` + canary + `","id":"%zz"}`)) },
		"a short id": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"value":"` + canary + `","id":"x"}`)) },
		"no value":   func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{` + id + `}`)) },
		"not JSON":   func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>" + canary)) },
		"half of it": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{` + id + `,"value":"` + canary)) },
		"cut off": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "999")
			_, _ = w.Write([]byte(`{` + id))
		},
		"other types": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"value":{"a":1},"id":7,"attributes":"` + canary + `"}`))
		},
		"an error page": func(w http.ResponseWriter) { w.WriteHeader(502); _, _ = w.Write([]byte("<html>" + canary)) },
		"hung up on":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := azurefake.New(t)
			fake.Answer = func(w http.ResponseWriter, _ *http.Request) bool { answer(w); return true }
			store := open(t, options(fake))
			err := get(t, store, "a", "")
			wantErr(t, err, secret.ErrUnavailable, "")
			if fault.ExitOf(err) != fault.ExitStore {
				t.Errorf("exit code %d, want %d", fault.ExitOf(err), fault.ExitStore)
			}
			if name == "no value" { // nothing that a write needs
				return
			}
			_, err = store.Put(t.Context(), "a", secret.NewValue([]byte(canary)))
			wantErr(t, err, secret.ErrUnavailable, "")
		})
	}
}

func TestOddListings(t *testing.T) {
	for name, answer := range map[string]string{
		"no entry": `{"value":[null]}`, "no id": `{"value":[{}]}`, "a bad id": `{"value":[{"id":"%zz"}]}`, "a link elsewhere": `{"value":[],"nextLink":"https://127.0.0.1:1/` + canary + `"}`,
	} {
		fake := azurefake.New(t)
		fake.Answer = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte(answer)); return true }
		store := open(t, options(fake))
		_, err := store.List(t.Context(), "")
		wantErr(t, err, secret.ErrUnavailable, "")
		if name == "a link elsewhere" && !strings.Contains(err.Error(), "another host") {
			t.Errorf("%q: want the link refused before it is dialled", err)
		}
		_, err = store.History(t.Context(), "a")
		wantErr(t, err, secret.ErrUnavailable, "")
	}
}

// serve is a TLS server of any behaviour, and a store on it.
func serve(t *testing.T, handler http.HandlerFunc) *azurekv.Store {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return open(t, azurekv.Options{
		VaultURL: server.URL, CAPool: pool, Credential: azurefake.New(t),
		RetryDelay: time.Millisecond,
	})
}

func TestOddChallenges(t *testing.T) {
	for _, header := range []string{
		"", "Basic", "Bearer", `Bearer authorization="x", resource="https://vault.azure.net"`, `Bearer authorization="", resource=""`, `Bearer authorization=https://x resource=https://y`, `Bearer resource="r", authorization="//x",`,
		`Bearer resource="https://vault.azure.net"`, `Bearer authorization="https://login.microsoftonline.com/x"`, "Bearer " + canary,
	} {
		store := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", header)
			w.WriteHeader(http.StatusUnauthorized)
		})
		err := get(t, store, "a", "")
		if err == nil || strings.Contains(err.Error(), canary) || !errors.Is(err, secret.ErrDenied) &&
			!errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%q: got %v", header, err)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		fake := azurefake.New(t)
		fake.Answer = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL+"/"+canary, status)
			return true
		}
		store := open(t, options(fake))
		wantErr(t, get(t, store, "a", ""), secret.ErrUnavailable, "vault_url")
		_, err := store.Put(t.Context(), "a", secret.NewValue([]byte("v")))
		wantErr(t, err, secret.ErrUnavailable, "vault_url")
	}
}

func TestSlow(t *testing.T) {
	fake := azurefake.New(t)
	fake.Answer = func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	o := options(fake)
	o.Timeout = 50 * time.Millisecond
	store := open(t, o)
	wantErr(t, get(t, store, "a", ""), secret.ErrUnavailable, "network")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := store.Get(ctx, "a", "")
	wantErr(t, err, secret.ErrUnavailable, "")
}

func TestDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := options(azurefake.New(t))
	o.VaultURL = "https://" + listener.Addr().String()
	_ = listener.Close()
	err = get(t, open(t, o), "a", "")
	wantErr(t, err, secret.ErrUnavailable, "vault_url")
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%q does not say why", err)
	}
	o = options(azurefake.New(t))
	o.CAPool = nil
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrUnavailable, "")
}

// failing is a credential that has none.
type failing struct{ err error }

func (f failing) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, f.err
}

func TestNoToken(t *testing.T) {
	fake := azurefake.New(t)
	o := options(fake)
	o.Credential = failing{errors.New("invalid_client " + canary)}
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "AZURE_CLIENT_ID")
	o.Credential = failing{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route")}}
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrUnavailable, "identity provider")
	if n := len(fake.Calls()); n != 2 {
		t.Errorf("%d calls, want the two that were challenged", n)
	}
}

func TestATokenThatIsNoLongerTaken(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	fake.Revoke() // the cached token is refused, and the challenge gets a new one
	want(t, store, "a", "", "value")
	o := options(fake)
	o.Credential = azurefake.New(t) // whose tokens this vault never takes
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "tenant")
}

// TestDefaultCredentials: both chains find the identity that App Service, Functions and Container Apps offer.
func TestDefaultCredentials(t *testing.T) {
	fake := azurefake.New(t)
	token, err := fake.GetToken(t.Context(), policy.TokenRequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var queries []url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.Query())
		if r.Header.Get("X-IDENTITY-HEADER") != "handle" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w,
			`{"access_token":%q,"expires_on":"%d","resource":"https://vault.azure.net","token_type":"Bearer"}`,
			token.Token, time.Now().Add(time.Hour).Unix())
	}))
	defer server.Close()
	t.Setenv("IDENTITY_ENDPOINT", server.URL)
	t.Setenv("IDENTITY_HEADER", "handle")
	for _, client := range []string{"", "9b1c0000-0000-4000-8000-000000000000"} {
		o := options(fake)
		o.Credential, o.ClientID = nil, client
		store := open(t, o)
		put(t, store, "a", "value")
		want(t, store, "a", "", "value")
		if last := queries[len(queries)-1]; last.Get("resource") != azurefake.Resource ||
			last.Get("client_id") != client {
			t.Errorf("asked for %v, want the vault's resource and client id %q", last, client)
		}
	}
	if len(queries) != 2 {
		t.Errorf("%d tokens for two stores", len(queries))
	}
	t.Setenv("IDENTITY_HEADER", "wrong")
	o := options(fake)
	o.Credential, o.ClientID = nil, "9b1c0000-0000-4000-8000-000000000001"
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "AZURE_CLIENT_ID")
}

func TestNew(t *testing.T) {
	for _, address := range []string{
		"", "corp", "http://corp.vault.azure.net", "https://",
		"https://user:password@corp.vault.azure.net", "https://corp.vault.azure.net/secrets/a",
		"https://corp.vault.azure.net?x=1",
	} {
		_, err := azurekv.New(azurekv.Options{VaultURL: address})
		if err == nil || strings.Contains(err.Error(), "password") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	// the chains are built, and contact nobody
	for _, o := range []azurekv.Options{{}, {ClientID: "c", TenantID: "t"}} {
		o.VaultURL = "https://corp.vault.azure.net/"
		if _, err := azurekv.New(o); err != nil {
			t.Error(err)
		}
	}
}

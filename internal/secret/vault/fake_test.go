package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/vault"
)

const canary = "canary-b7c1"

// fake is a server that answers as its handlers say; what has none is answered with 404.
func fake(t *testing.T, handlers map[string]http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range handlers {
		mux.HandleFunc(pattern, h)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// says is a handler with one answer.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const (
	mounted2 = `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`
	value1   = `{"data":{"data":{"value":"v","encoding":"text"},"metadata":{"version":1,"created_time":"2026-01-02T03:04:05.678Z"}}}`
)

// withMount adds the answer about the mount.
func withMount(data http.HandlerFunc) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"/v1/sys/internal/ui/mounts/": says(200, mounted2),
		"/v1/secret/data/s":           data,
	}
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   error
		hint   string
	}{
		"good":                 {200, value1, nil, ""},
		"sealed":               {503, `{"errors":["Vault is sealed"]}`, secret.ErrUnavailable, "unseal"},
		"not initialized":      {501, `{"errors":[]}`, secret.ErrUnavailable, "operator init"},
		"standby":              {473, `{"errors":[]}`, secret.ErrUnavailable, "active"},
		"throttled":            {429, `{"errors":["request path quota exceeded"]}`, secret.ErrUnavailable, "quota"},
		"behind":               {412, `{"errors":["required index state not present"]}`, secret.ErrUnavailable, "behind"},
		"internal":             {500, `{"errors":["` + canary + `"]}`, secret.ErrUnavailable, "log"},
		"a proxy's page":       {502, `<html>` + canary, secret.ErrUnavailable, "proxy"},
		"html with 200":        {200, `<html>` + canary, secret.ErrUnavailable, "proxy"},
		"html with 404":        {404, `<html>` + canary, secret.ErrUnavailable, "proxy"},
		"html with 403":        {403, `<html>` + canary, secret.ErrDenied, ""},
		"denied":               {403, `{"errors":["permission denied ` + canary + `"]}`, secret.ErrDenied, `path "secret/data/s" { capabilities = ["read"] }`},
		"JSON with 404":        {404, `{"message":"Not Found"}`, secret.ErrUnavailable, "proxy"},
		"no such secret":       {404, `{"errors":[]}`, secret.ErrNotFound, ""},
		"empty":                {200, ``, secret.ErrUnavailable, ""},
		"half JSON":            {200, value1[:60], secret.ErrUnavailable, ""},
		"two responses":        {200, value1 + value1, secret.ErrUnavailable, ""},
		"an array":             {200, `[]`, secret.ErrUnavailable, ""},
		"null":                 {200, `null`, secret.ErrUnavailable, ""},
		"no metadata":          {200, `{"data":{"data":{"value":"` + canary + `"}}}`, secret.ErrUnavailable, "kv"},
		"a version of text":    {200, `{"data":{"data":{},"metadata":{"version":"` + canary + `","created_time":"2026-01-02T03:04:05Z"}}}`, secret.ErrUnavailable, ""},
		"no time":              {200, `{"data":{"data":{},"metadata":{"version":1}}}`, secret.ErrUnavailable, ""},
		"data of text":         {200, `{"data":"` + canary + `"}`, secret.ErrUnavailable, ""},
		"HTTP to an HTTPS one": {400, "Client sent an HTTP request to an HTTPS server.\n", secret.ErrUnavailable, "http"},
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t, vault.Options{Address: fake(t, withMount(says(c.status, c.body))), Token: fixed(canary)})
			value, v, err := store.Get(t.Context(), "secret/s", "")
			if c.want == nil {
				if err != nil || string(value.Reveal()) != "v" || v.ID != "1" ||
					!v.Created.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)) {
					t.Errorf("got %d bytes, %+v, %v", value.Len(), v, err)
				}
				return
			}
			wantErr(t, "reading", err, c.want, c.hint)
			if text := err.Error() + fault.HintOf(err); strings.Contains(text, canary) ||
				!strings.Contains(text, "secret/s") {
				t.Errorf("the error shows too much, or not the path: %s", text)
			}
			if exit := fault.ExitOf(err); errors.Is(err, secret.ErrUnavailable) != (exit == fault.ExitStore) {
				t.Errorf("%v: exit code %d", err, exit)
			}
		})
	}
}

func TestNoRedirectWithTheToken(t *testing.T) {
	var stolen atomic.Int32
	elsewhere := fake(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, _ *http.Request) {
		stolen.Add(1)
		_, _ = io.WriteString(w, value1)
	}})
	for _, status := range []int{301, 302, 303, 307, 308} {
		store := open(t,
			vault.Options{
				Token: fixed(canary),
				Address: fake(t, withMount(func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere+r.URL.Path, status)
				})),
			})
		_, _, err := store.Get(t.Context(), "secret/s", "")
		wantErr(t, fmt.Sprint(status), err, secret.ErrUnavailable, "active node")
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestNamespaceAndHeaders(t *testing.T) {
	var requests atomic.Int32
	inspect := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			login := strings.HasSuffix(r.URL.Path, "/login")
			if r.Header.Get("X-Vault-Namespace") != "team/a" || r.Header.Get("X-Vault-Request") != "true" ||
				(r.Header.Get("X-Vault-Token") == "") != login {
				t.Errorf("%s came with the headers %v", r.URL.Path, r.Header)
			}
			_, _ = io.WriteString(w, answer)
		}
	}
	store := open(t, vault.Options{
		Namespace: "/team/a/", AppRole: &vault.AppRole{RoleID: "r"},
		Address: fake(t, map[string]http.HandlerFunc{
			"/v1/auth/approle/login":      inspect(`{"auth":{"client_token":"t","lease_duration":60}}`),
			"/v1/sys/internal/ui/mounts/": inspect(mounted2),
			"/v1/secret/data/s":           inspect(value1),
		}),
	})
	mustGet(t, store, "secret/s", "")
	if requests.Load() != 3 {
		t.Errorf("%d requests, want 3", requests.Load())
	}
}

func TestEnvironmentIsNotRead(t *testing.T) {
	for _, name := range []string{
		"VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_CACERT", "VAULT_CLIENT_CERT", "VAULT_SKIP_VERIFY", "VAULT_MAX_RETRIES",
		"VAULT_NAMESPACE", "VAULT_TOKEN", "VAULT_HEADERS", "VAULT_WRAP_TTL", "VAULT_RATE_LIMIT", "VAULT_PROXY_ADDR", "VAULT_CLIENT_TIMEOUT", "HTTP_PROXY", "http_proxy",
	} {
		t.Setenv(name, "http://"+canary+".invalid")
	}
	store := open(t,
		vault.Options{Token: fixed("ours"), Address: fake(t, withMount(func(w http.ResponseWriter, r *http.Request) {
			for name, values := range r.Header {
				if strings.Contains(fmt.Sprint(values), canary) || name == "X-Vault-Wrap-Ttl" {
					t.Errorf("header %s is %q", name, values)
				}
			}
			_, _ = io.WriteString(w, value1)
		}))})
	if got, _ := mustGet(t, store, "secret/s", ""); got != "v" {
		t.Errorf("got %q", got)
	}
}

// stalled is a handler that does not answer as long as someone waits.
func stalled(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // or the server would not see that the client has left
	<-r.Context().Done()
}

func TestSlow(t *testing.T) {
	address := fake(t, withMount(stalled))
	store := open(t, vault.Options{Address: address, Token: fixed("t"), Timeout: 200 * time.Millisecond})
	calls := map[string]func(ctx context.Context) error{
		"Get": func(ctx context.Context) error { _, _, err := store.Get(ctx, "secret/s", ""); return err },
		"Put": func(ctx context.Context) error {
			_, err := store.Put(ctx, "secret/s", secret.NewValue([]byte("x")))
			return err
		},
		"PutIf": func(ctx context.Context) error {
			_, err := store.PutIf(ctx, "secret/s", secret.NewValue([]byte("x")), "")
			return err
		},
		"Back": func(ctx context.Context) error { _, err := store.Rollback(ctx, "secret/s", "1"); return err },
		"Batch": func(ctx context.Context) error {
			return store.GetBatch(ctx, []secret.Key{{Path: "secret/s"}})[0].Err
		},
	}
	for name, call := range calls {
		wantErr(t, name, call(t.Context()), secret.ErrUnavailable, "")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s under a context that ends sooner: %v", name, err)
		}
		cancel()
	}
}

func TestHalfAnswers(t *testing.T) {
	half := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(value1)))
			_, _ = io.WriteString(w, value1[:len(value1)/2])
			_ = http.NewResponseController(w).Flush()
			then(w, r)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"cut":     half(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"stalled": half(stalled),
	} {
		store := open(t, vault.Options{Address: fake(t, withMount(h)), Token: fixed("t"), Timeout: time.Second})
		wantErr(t, name, second(store.Get(t.Context(), "secret/s", "")), secret.ErrUnavailable, "")
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"data":"`)
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	}
	store := open(t, vault.Options{Address: fake(t, withMount(endless)), Token: fixed("t"), Timeout: time.Minute})
	wantErr(t, "endless", second(store.Get(t.Context(), "secret/s", "")), secret.ErrUnavailable, "")
}

func TestBatchGivesUpOnVaultAndNotOnASecret(t *testing.T) {
	keys := make([]secret.Key, 1000)
	for i := range keys {
		keys[i].Path = fmt.Sprintf("secret/s%d", i)
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    error
		all     bool // every secret is asked for
	}{
		"slow":      {stalled, secret.ErrUnavailable, false},
		"sealed":    {says(503, `{"errors":["Vault is sealed"]}`), secret.ErrUnavailable, false},
		"absent":    {says(404, `{"errors":[]}`), secret.ErrNotFound, true},
		"internal":  {says(500, `{"errors":[]}`), secret.ErrUnavailable, true},
		"denied":    {says(403, `{"errors":["permission denied"]}`), secret.ErrDenied, true},
		"bad token": {says(403, `{"errors":["invalid token"]}`), secret.ErrDenied, false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			address := fake(t, map[string]http.HandlerFunc{
				"/v1/sys/internal/ui/mounts/": says(200, mounted2),
				"/v1/sys/capabilities-self":   says(200, `{"data":{"capabilities":["deny"]}}`),
				"/v1/secret/data/": func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					c.handler(w, r)
				},
			})
			limit := 10 * time.Second
			if name == "slow" {
				limit = 200 * time.Millisecond
			}
			store := open(t, vault.Options{Address: address, Token: fixed("t"), Timeout: limit})
			for i, r := range store.GetBatch(t.Context(), keys) {
				if !errors.Is(r.Err, c.want) || !strings.Contains(r.Err.Error(), keys[i].Path) {
					t.Fatalf("%s: got %v, want %v", keys[i].Path, r.Err, c.want)
				}
			}
			if got := asked.Load() == 1000; got != c.all {
				t.Errorf("%d of 1000 were asked for", asked.Load())
			}
		})
	}
}

func TestBatchLogsInOnceWhenRefused(t *testing.T) {
	var logins atomic.Int32
	store := open(t, vault.Options{AppRole: &vault.AppRole{RoleID: "r"}, Address: fake(t, map[string]http.HandlerFunc{
		"/v1/auth/approle/login": func(w http.ResponseWriter, _ *http.Request) {
			logins.Add(1)
			says(400, `{"errors":["invalid role or secret ID"]}`)(w, nil)
		},
	})})
	keys := make([]secret.Key, 1000)
	for i := range keys {
		keys[i].Path = fmt.Sprintf("secret/s%d", i)
	}
	for _, r := range store.GetBatch(t.Context(), keys) {
		wantErr(t, "reading", r.Err, secret.ErrDenied, "role id")
	}
	if n := logins.Load(); n > 32 { // one for each worker, and perhaps one more
		t.Errorf("%d logins for a role that does not exist", n)
	}
}

func TestGivenTokenIsReadAgain(t *testing.T) {
	var good atomic.Value
	good.Store("first")
	var reads atomic.Int32
	store := open(t, vault.Options{
		Token: func() (secret.Value, error) {
			reads.Add(1)
			return secret.NewValue([]byte(good.Load().(string) + "\n")), nil
		},
		Address: fake(t, withMount(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Vault-Token") != good.Load().(string) {
				says(403, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`)(w, r)
				return
			}
			_, _ = io.WriteString(w, value1)
		})),
	})
	for range 3 {
		mustGet(t, store, "secret/s", "")
	}
	if n := reads.Load(); n > 2 {
		t.Logf("the token was read %d times for three secrets: a slow machine", n)
	}
	good.Store("second")
	mustGet(t, store, "secret/s", "")
}

func TestGivenTokenCannotBeRead(t *testing.T) {
	for name, token := range map[string]func() (secret.Value, error){
		"absent": func() (secret.Value, error) {
			_, err := os.ReadFile(filepath.Join(t.TempDir(), "no"))
			return secret.Value{}, err
		},
		"empty":        fixed(" \n"),
		"two lines":    fixed(canary + "\nX-Vault-Namespace: other"),
		"not a header": fixed(canary + "\x00"),
	} {
		_, _, err := open(t,
			vault.Options{Address: "http://127.0.0.1:1", Token: token}).Get(t.Context(), "secret/s", "")
		wantErr(t, name, err, secret.ErrUnavailable, "")
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKubernetesLogin is about what is sent; kubernetes_test.go has a real API server that believes it.
func TestKubernetesLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("the.jwt\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	handlers := withMount(says(200, value1))
	handlers["/v1/auth/kubernetes/login"] = says(404,
		`{"errors":["no handler for route \"auth/kubernetes/login\". route entry not found."]}`)
	handlers["/v1/auth/k8s/prod/login"] = func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["jwt"] != "the.jwt" ||
			body["role"] != "sallyport" || len(body) != 2 {
			t.Errorf("the body is %v, %v", body, err)
		}
		_, _ = io.WriteString(w, `{"auth":{"client_token":"t","lease_duration":3600,"renewable":true}}`)
	}
	address := fake(t, handlers)
	mustGet(t,
		open(t,
			vault.Options{Address: address, Kubernetes: &vault.Kubernetes{
				Role: "sallyport", JWTFile: file,
				Mount: "k8s/prod",
			}}), "secret/s", "")

	none := open(t, vault.Options{Address: address, Kubernetes: &vault.Kubernetes{Role: "r", JWTFile: file + ".no"}})
	_, _, err := none.Get(t.Context(), "secret/s", "")
	wantErr(t, "no token file", err, secret.ErrUnavailable, "")
	unmounted := open(t, vault.Options{Address: address, Kubernetes: &vault.Kubernetes{Role: "r", JWTFile: file}})
	_, _, err = unmounted.Get(t.Context(), "secret/s", "")
	wantErr(t, "no auth method there", err, secret.ErrDenied, "vault auth list")
}

func TestOneLoginForAll(t *testing.T) {
	const callers = 20
	var logins, waiting atomic.Int32
	release := make(chan struct{})
	handlers := withMount(says(200, value1))
	handlers["/v1/auth/approle/login"] = func(w http.ResponseWriter, _ *http.Request) {
		logins.Add(1)
		<-release
		_, _ = io.WriteString(w, `{"auth":{"client_token":"t","lease_duration":3600}}`)
	}
	store := open(t,
		vault.Options{
			Address: fake(t, handlers),
			AppRole: &vault.AppRole{RoleID: "r", SecretID: func() (secret.Value, error) {
				return secret.NewValue([]byte("id")), nil
			}},
		})
	done := make(chan error, callers)
	for range callers {
		go func() {
			waiting.Add(1)
			_, _, err := store.Get(t.Context(), "secret/s", "")
			done <- err
		}()
	}
	for waiting.Load() < callers {
		select {
		case <-t.Context().Done():
			t.FailNow()
		default:
		}
	}
	close(release)
	for range callers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := logins.Load(); n != 1 {
		t.Errorf("%d logins for %d callers", n, callers)
	}
}

// TestLoginOutlivesItsLeader: the caller who began the login gives up, and another one of those who wait takes over.
func TestLoginOutlivesItsLeader(t *testing.T) {
	var logins atomic.Int32
	first := make(chan struct{})
	handlers := withMount(says(200, value1))
	handlers["/v1/auth/approle/login"] = func(w http.ResponseWriter, r *http.Request) {
		if logins.Add(1) == 1 {
			close(first)
			stalled(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"auth":{"client_token":"t","lease_duration":3600}}`)
	}
	store := open(t, vault.Options{Address: fake(t, handlers), AppRole: &vault.AppRole{RoleID: "r"}})
	ctx, giveUp := context.WithCancel(t.Context())
	leader := make(chan error, 1)
	go func() { _, _, err := store.Get(ctx, "secret/s", ""); leader <- err }()
	<-first
	follower := make(chan error, 1)
	go func() { _, _, err := store.Get(t.Context(), "secret/s", ""); follower <- err }()
	giveUp()
	if err := <-leader; !errors.Is(err, context.Canceled) {
		t.Errorf("the one who gave up: %v", err)
	}
	if err := <-follower; err != nil {
		t.Errorf("the one who waited: %v", err)
	}
}

// TestLeases has a database engine that makes a new user each time it is asked.
func TestLeases(t *testing.T) {
	var made, renewed atomic.Int32
	var ttl atomic.Int64
	ttl.Store(3600)
	address := fake(t, map[string]http.HandlerFunc{
		"/v1/sys/internal/ui/mounts/": says(200, `{"data":{"path":"database/","type":"database","options":null}}`),
		"/v1/auth/token/lookup-self":  says(200, `{"data":{"ttl":0,"renewable":false}}`),
		"GET /v1/database/creds/app": func(w http.ResponseWriter, _ *http.Request) {
			n := made.Add(1)
			_, _ = fmt.Fprintf(w,
				`{"lease_id":"database/creds/app/%d","lease_duration":%d,"renewable":true,"data":{"username":"u%d","password":"p"}}`, n, ttl.Load(), n)
		},
		"POST /v1/sys/leases/renew": func(w http.ResponseWriter, _ *http.Request) {
			renewed.Add(1)
			_, _ = fmt.Fprintf(w, `{"lease_id":"x","lease_duration":%d,"renewable":true}`, ttl.Load())
		},
	})
	store := open(t, vault.Options{Token: fixed("t"), Address: address})
	one, v := mustGet(t, store, "database/creds/app", "")
	if again, same := mustGet(t, store, "database/creds/app", v.ID); one != `{"password":"p","username":"u1"}` ||
		again != one || same != v || !v.Current {
		t.Errorf("got %s %+v, then %s %+v", one, v, again, same)
	}
	_, _, err := store.Get(t.Context(), "database/creds/app", "other")
	wantErr(t, "another version", err, secret.ErrVersionGone, "")
	if made.Load() != 1 {
		t.Errorf("%d users were made", made.Load())
	}

	// A lease of a second is renewed as long as someone runs the store, and the user stays.
	ttl.Store(1)
	short := open(t, vault.Options{Token: fixed("t"), Address: address})
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- short.Run(ctx) }()
	mustGet(t, short, "database/creds/app", "")
	until(t, func() bool { return renewed.Load() >= 2 })
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	// Without it, a new user is made in time.
	before := made.Load()
	until(t, func() bool { mustGet(t, short, "database/creds/app", ""); return made.Load() > before })
}

// until asks until it is so; the test's own deadline is the limit.
func until(t *testing.T, isSo func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for !isSo() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("it did not come about within two minutes")
		}
	}
}

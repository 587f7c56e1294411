package gcpsm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/testkit/gcpfake"
)

const canary = "canary-5c1b7e02d9"

func get(t *testing.T, store *gcpsm.Store, path, version string) error {
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

func TestWhatTheServiceAnswers(t *testing.T) {
	disabled, err := status.New(codes.PermissionDenied,
		canary).WithDetails(&errdetails.ErrorInfo{Reason: "SERVICE_DISABLED", Domain: "googleapis.com"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer error
		want   error
		hint   string
		calls  int
	}{
		"denied":           {status.Error(codes.PermissionDenied, canary), secret.ErrDenied, "roles/secretmanager.secretAccessor (it has secretmanager.versions.access)", 1},
		"not enabled":      {disabled.Err(), secret.ErrDenied, "gcloud services enable", 1},
		"no identity":      {status.Error(codes.Unauthenticated, canary), secret.ErrDenied, "application-default login", 2},
		"throttled":        {status.Error(codes.ResourceExhausted, canary), secret.ErrUnavailable, "quota", 4},
		"unavailable":      {status.Error(codes.Unavailable, canary), secret.ErrUnavailable, "endpoint", 4},
		"internal":         {status.Error(codes.Internal, canary), secret.ErrUnavailable, "tried again", 1},
		"unknown":          {errors.New(canary), secret.ErrUnavailable, "tried again", 1},
		"its own deadline": {status.Error(codes.DeadlineExceeded, canary), secret.ErrUnavailable, "", 1},
		"its cancellation": {status.Error(codes.Canceled, canary), secret.ErrUnavailable, "", 1},
		"not there":        {status.Error(codes.NotFound, canary), secret.ErrNotFound, "", 1},
		"another server":   {status.Error(codes.Unimplemented, canary), secret.ErrUnavailable, "endpoint", 1},
		"no known code":    {status.Error(codes.Code(99), canary), secret.ErrUnavailable, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := gcpfake.New(t)
			fake.Answer = func(context.Context, string) error { return c.answer }
			err := get(t, open(t, options(fake)), "stripe", "")
			wantErr(t, err, c.want, c.hint)
			if !strings.HasPrefix(err.Error(), `reading secret "stripe" in gcpsm: `) {
				t.Errorf("%q does not begin with what was being done", err)
			}
			if n := len(fake.Calls()); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

func TestEveryPermissionIsNamedWhenItIsDenied(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	ctx, value := t.Context(), secret.NewValue([]byte("new"))
	for method, c := range map[string]struct {
		permission string
		call       func() error
	}{
		"AccessSecretVersion": {"secretmanager.versions.access", func() error { return get(t, store, "a", "1") }},
		"AddSecretVersion": {"secretmanager.versions.add", func() error {
			_, err := store.Put(ctx, "a", value)
			return err
		}},
		"CreateSecret": {"secretmanager.secrets.create", func() error {
			_, err := store.Put(ctx, "b", value)
			return err
		}},
		"DestroySecretVersion": {"secretmanager.versions.destroy", func() error { return store.Delete(ctx, "a") }},
		"ListSecretVersions": {"secretmanager.versions.list", func() error {
			_, err := store.History(ctx, "a")
			return err
		}},
		"ListSecrets": {"secretmanager.secrets.list", func() error {
			_, err := store.List(ctx, "")
			return err
		}},
	} {
		fake.Answer = denying(method)
		wantErr(t, c.call(), secret.ErrDenied, c.permission+")")
	}
}

func denying(methods ...string) func(context.Context, string) error {
	return func(_ context.Context, called string) error {
		if slices.Contains(methods, called) {
			return status.Error(codes.PermissionDenied, canary)
		}
		return nil
	}
}

func TestWhoMayOnlyRead(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "one")
	put(t, store, "a", "two")
	fake.Answer = denying("ListSecretVersions", "ListSecrets", "AddSecretVersion", "CreateSecret",
		"DestroySecretVersion")
	if v := want(t, store, "a", "1", "one"); v.Current {
		t.Error("version 1 of 2 is current")
	}
	if v := want(t, store, "a", "2", "two"); !v.Current {
		t.Error("version 2 of 2 is not current")
	}
	wantErr(t, get(t, store, "a", "3"), secret.ErrVersionGone, "gcloud secrets versions list a")
	wantErr(t, get(t, store, "b", "3"), secret.ErrNotFound, "")
	fake.Set("a", 2, secretmanagerpb.SecretVersion_DISABLED)
	wantErr(t, get(t, store, "a", ""), secret.ErrVersionGone, "disabled")
}

func TestThrottlingThatPasses(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	left := 2
	fake.Answer = func(context.Context, string) error {
		if left == 0 {
			return nil
		}
		left--
		return status.Error(codes.ResourceExhausted, canary)
	}
	put(t, store, "a", "value")
	left = 2
	want(t, store, "a", "", "value")
}

func TestAVersionIsNotAddedTwice(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "one")
	before := len(fake.Calls())
	fake.Answer = func(context.Context, string) error { return status.Error(codes.Unavailable, canary) }
	_, err := store.Put(t.Context(), "a", secret.NewValue([]byte("two")))
	wantErr(t, err, secret.ErrUnavailable, "")
	if n := len(fake.Calls()) - before; n != 1 {
		t.Errorf("%d tries of what may have happened", n)
	}
}

func TestSlow(t *testing.T) {
	fake := gcpfake.New(t)
	fake.Answer = func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	o := options(fake)
	o.Timeout = 100 * time.Millisecond
	store := open(t, o)
	wantErr(t, get(t, store, "a", ""), secret.ErrUnavailable, "network")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := store.Get(ctx, "a", "")
	wantErr(t, err, secret.ErrUnavailable, "")
}

// broken accepts connections and writes garbage, or nothing, into them.
func broken(t *testing.T, write string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(write))
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestDownAndBroken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := listener.Addr().String()
	_ = listener.Close()
	for name, endpoint := range map[string]string{
		"down": down, "hung up on": broken(t, ""), "garbage": broken(t, canary), "plain garbage": "http://" + broken(t, canary+"\r\n\r\n"), "HTTP": "http://" + broken(t, "HTTP/1.1 200 OK\r\n\r\n"+canary),
	} {
		t.Run(name, func(t *testing.T) {
			o := options(gcpfake.New(t))
			o.Endpoint = endpoint
			o.Timeout = 5 * time.Second
			err := get(t, open(t, o), "a", "")
			wantErr(t, err, secret.ErrUnavailable, "endpoint")
			if fault.ExitOf(err) != fault.ExitStore {
				t.Errorf("exit code %d, want %d", fault.ExitOf(err), fault.ExitStore)
			}
			if name == "down" && !strings.Contains(err.Error(), "connection refused") {
				t.Errorf("%q does not say why", err)
			}
		})
	}
	o := options(gcpfake.New(t))
	o.CAPool = nil
	err = get(t, open(t, o), "a", "")
	wantErr(t, err, secret.ErrUnavailable, "")
	if !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%q does not say why", err)
	}
}

func TestATokenThatIsNoLongerTaken(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	fake.SetToken("token-2") // the cached one is refused; the next is asked for once
	want(t, store, "a", "", "value")
	if n := fake.Given(); n != 2 {
		t.Errorf("%d tokens were asked for, want 2", n)
	}
}

// providing makes a function a TokenProvider.
type providing func() (*auth.Token, error)

func (p providing) Token(context.Context) (*auth.Token, error) { return p() }

func TestNoToken(t *testing.T) {
	fake := gcpfake.New(t)
	o := options(fake)
	o.Tokens = providing(func() (*auth.Token, error) { return nil, fmt.Errorf("invalid_grant %s", canary) })
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "GOOGLE_APPLICATION_CREDENTIALS")
	o.Tokens = providing(func() (*auth.Token, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
	})
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrUnavailable, "metadata server")
	o.Tokens = nil // nor is there a metadata server
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrUnavailable, "metadata server")
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, []byte(`{"type":"service_account","private_key":"`+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "GOOGLE_APPLICATION_CREDENTIALS")
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("%d calls without a token", n)
	}
}

func TestDefaultCredentials(t *testing.T) {
	fake := gcpfake.New(t)
	o := options(fake)
	o.Tokens = nil
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			t.Errorf("%s came without the header that the server wants", r.URL)
		}
		w.Header().Set("Metadata-Flavor", "Google")
		if r.URL.Path == "/computeMetadata/v1/instance/service-accounts/default/token" {
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, fake.Token)
		}
	}))
	defer server.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	store := open(t, o)
	put(t, store, "a", "value")
	want(t, store, "a", "", "value")
}

func TestAnEmulatorGetsNoToken(t *testing.T) {
	fake, url := gcpfake.Plain(t)
	store := open(t, gcpsm.Options{
		Project: gcpfake.Project, Endpoint: url,
		Tokens: providing(func() (*auth.Token, error) {
			t.Error("a token was asked for")
			return &auth.Token{Value: canary}, nil
		}),
	})
	put(t, store, "a", "value")
	for _, c := range fake.Calls() {
		if len(c.Header.Get("authorization")) > 0 {
			t.Errorf("%s carried a token in clear", c.Method)
		}
	}
}

func TestNew(t *testing.T) {
	for name, o := range map[string]gcpsm.Options{
		"http":    {Endpoint: "http://secretmanager.example.com"},
		"user":    {Endpoint: "https://user:password@example.com"},
		"path":    {Endpoint: "secretmanager.googleapis.com/v1"},
		"scheme":  {Endpoint: "ftp://127.0.0.1"},
		"project": {Project: "a/b"},
	} {
		if _, err := gcpsm.New(o); err == nil || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, endpoint := range []string{
		"", "secretmanager.europe-west3.rep.googleapis.com",
		"https://secretmanager.googleapis.com:443", "http://127.0.0.1:9090", "http://[::1]:1", "localhost:1",
	} {
		store, err := gcpsm.New(gcpsm.Options{Project: "p", Endpoint: endpoint})
		if err != nil {
			t.Errorf("%s: %v", endpoint, err)
			continue
		}
		_ = store.Close()
	}
}

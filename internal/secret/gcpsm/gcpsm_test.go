package gcpsm_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"github.com/google/go-cmp/cmp"

	"sallyport/internal/secret"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/gcpfake"
)

// TestMain keeps the tests from the machine's own Google account, and from any metadata server but one that is not
// there.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"GCE_METADATA_HOST": "127.0.0.1:1", "GOOGLE_APPLICATION_CREDENTIALS": "", "GOOGLE_CLOUD_PROJECT": "", "CLOUDSDK_CONFIG": os.DevNull, "HOME": os.DevNull,
		"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "",
	} {
		_ = os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

func options(fake *gcpfake.Server) gcpsm.Options {
	return gcpsm.Options{
		Project: gcpfake.Project, Endpoint: fake.Address, CAPool: fake.Pool, Tokens: fake.Provider(),
		RetryDelay: time.Millisecond,
	}
}

func open(t *testing.T, o gcpsm.Options) *gcpsm.Store {
	t.Helper()
	store, err := gcpsm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func put(t *testing.T, store *gcpsm.Store, path, value string) secret.Version {
	t.Helper()
	v, err := store.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func want(t *testing.T, store secret.Store, path, version, value string) secret.Version {
	t.Helper()
	got, v, err := store.Get(t.Context(), path, version)
	if err != nil || string(got.Reveal()) != value {
		t.Fatalf("getting %q version %q: got %q, %v; want %q", path, version, got.Reveal(), err, value)
	}
	return v
}

func TestConformance(t *testing.T) {
	t.Run("TLS and tokens", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store {
			fake := gcpfake.New(t)
			fake.AnySize = true
			return open(t, options(fake))
		})
	})
	t.Run("an emulator, destroying later", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store {
			fake, url := gcpfake.Plain(t)
			fake.AnySize, fake.DestroyLater = true, 24*time.Hour
			return open(t, gcpsm.Options{Project: gcpfake.Project, Endpoint: url})
		})
	})
}

func TestPutsOfSeveralProcesses(t *testing.T) {
	fake := gcpfake.New(t)
	storetest.ConcurrentPuts(t, []secret.Store{open(t, options(fake)), open(t, options(fake)), open(t, options(fake))})
}

func TestNames(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	for path, id := range map[string]string{
		"plain_Name-1": "plain_Name-1", "n8n/api_key": "n8n--api_key", "tls/my-key.pem": "tls--my-key-d-pem", "a/-b": "a---b", "as--it--is": "as--it--is",
		"projects/corp-test/secrets/whole": "whole", "projects/424242/secrets/by-number": "by-number",
	} {
		put(t, store, path, "value of "+path)
		last := fake.Calls()[len(fake.Calls())-1].In.(*secretmanagerpb.AddSecretVersionRequest)
		if !strings.HasSuffix(last.GetParent(), "/secrets/"+id) {
			t.Errorf("%s went out as %q, want %q", path, last.GetParent(), id)
		}
		want(t, store, path, "1", "value of "+path)
		want(t, store, id, "", "value of "+path)
	}
	entries, err := store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Path)
	}
	if diff := cmp.Diff([]string{
		"a/-b", "as/it/is", "by-number", "n8n/api_key", "plain_Name-1", "tls/my-key.pem",
		"whole",
	}, got); diff != "" {
		t.Error(diff)
	}
	before := len(fake.Calls())
	for _, path := range []string{
		"a-/b", "a--b/c", "a-d-b/c", "a b", "ä", "a:b", "a//b", "a/./b", "", "/", strings.Repeat("n", 256), strings.Repeat("/n", 120),
		"projects/corp-test", "projects/corp-test/secrets", "projects/corp-test/secrets/a/versions/1", "projects/../secrets/a", "projects/p/locations/secrets/a",
	} {
		if _, err := store.Put(t.Context(), path, secret.NewValue([]byte("x"))); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	if len(fake.Calls()) != before {
		t.Error("a name that cannot be was sent")
	}
	bare := open(t, gcpsm.Options{Endpoint: fake.Address, CAPool: fake.Pool, Tokens: fake.Provider()})
	want(t, bare, "projects/corp-test/secrets/whole", "", "value of projects/corp-test/secrets/whole")
	if _, _, err := bare.Get(t.Context(), "whole", ""); err == nil || !strings.Contains(err.Error(), "no project") {
		t.Errorf("an id without a project: %v", err)
	}
}

func TestAliasesAndLatest(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "one")
	put(t, store, "a", "two")
	fake.Alias("a", "prod", 1)
	if v := want(t, store, "a", "prod", "one"); v.ID != "1" || v.Current {
		t.Errorf("the alias is %+v, want version 1", v)
	}
	if v := want(t, store, "a", "latest", "two"); v.ID != "2" || !v.Current {
		t.Errorf("the latest is %+v, want version 2", v)
	}
	wantErr(t, get(t, store, "a", "canary"), secret.ErrVersionGone, "versions list a --project=corp-test")
}

func TestDisabledAndDestroyed(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	for range 3 {
		put(t, store, "a", "value")
	}
	fake.Set("a", 1, secretmanagerpb.SecretVersion_DESTROYED)
	fake.Set("a", 3, secretmanagerpb.SecretVersion_DISABLED)
	wantErr(t, get(t, store, "a", "1"), secret.ErrVersionGone, "roll back")
	wantErr(t, get(t, store, "a", "3"), secret.ErrVersionGone, "versions enable 3 --secret=a --project=corp-test")
	wantErr(t, get(t, store, "a", ""), secret.ErrVersionGone, "versions enable 3 --secret=a --project=corp-test")
	if v := want(t, store, "a", "2", "value"); v.Current {
		t.Error("version 2 is current while the latest is disabled")
	}
	history, err := store.History(t.Context(), "a")
	if err != nil || len(history) != 1 || history[0].ID != "2" {
		t.Errorf("got %+v, %v; want the one that can be read", history, err)
	}
	fake.Set("a", 3, secretmanagerpb.SecretVersion_DESTROYED)
	wantErr(t, get(t, store, "a", ""), secret.ErrVersionGone, "roll back")
	fake.Set("a", 2, secretmanagerpb.SecretVersion_DESTROYED)
	wantErr(t, get(t, store, "a", ""), secret.ErrNotFound, "")
	wantErr(t, store.Delete(t.Context(), "a"), secret.ErrNotFound, "")
	_, err = store.History(t.Context(), "a")
	wantErr(t, err, secret.ErrNotFound, "")
	if v := put(t, store, "a", "back"); v.ID != "4" {
		t.Errorf("got version %q after three, want 4", v.ID)
	}
}

func TestDeleteBeginsWithTheNewest(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	for range 3 {
		put(t, store, "a", "value")
	}
	before := len(fake.Calls())
	if err := store.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range fake.Calls()[before:] {
		if in, ok := c.In.(*secretmanagerpb.DestroySecretVersionRequest); ok {
			got = append(got, in.GetName()[strings.LastIndex(in.GetName(), "/")+1:])
		}
	}
	if diff := cmp.Diff([]string{"3", "2", "1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestChecksums(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	fake.NoChecksum = true
	want(t, store, "a", "", "value")
	fake.NoChecksum, fake.Damage = false, true
	err := get(t, store, "a", "")
	wantErr(t, err, secret.ErrUnavailable, "")
	if !strings.Contains(err.Error(), "checksum") {
		t.Errorf("%q does not say why", err)
	}
	for _, c := range fake.Calls() {
		if in, ok := c.In.(*secretmanagerpb.AddSecretVersionRequest); ok && in.GetPayload().DataCrc32C == nil {
			t.Error("a value went out without a checksum")
		}
	}
	_, err = store.Put(t.Context(), "big", secret.NewValue(bytes.Repeat([]byte("x"), gcpfake.MaxValue+1)))
	if err == nil || !strings.Contains(err.Error(), "InvalidArgument") {
		t.Errorf("a value past the service's limit: %v", err)
	}
}

func TestPagesOfBoth(t *testing.T) {
	fake := gcpfake.New(t)
	store := open(t, options(fake))
	for range 300 {
		put(t, store, "page/many", "x")
	}
	history, err := store.History(t.Context(), "page/many")
	if err != nil || len(history) != 300 || history[0].ID != "300" || !history[0].Current || history[1].Current {
		t.Errorf("got %d versions, %v", len(history), err)
	}
	for i := range 300 {
		put(t, store, fmt.Sprintf("page/s%d", i), "x")
	}
	entries, err := store.List(t.Context(), "page/s")
	if err != nil || len(entries) != 300 {
		t.Errorf("got %d entries, %v", len(entries), err)
	}
}

func TestReplicationAndRouting(t *testing.T) {
	fake := gcpfake.New(t)
	put(t, open(t, options(fake)), "a", "x")
	put(t, open(t, options(fake)), "projects/corp-test/locations/europe-west3/secrets/b", "x")
	for _, c := range fake.Calls() {
		switch in := c.In.(type) {
		case *secretmanagerpb.CreateSecretRequest:
			if regional := strings.Contains(in.GetParent(),
				"/locations/"); regional == (in.GetSecret().GetReplication().GetAutomatic() != nil) {
				t.Errorf("%s: replication is %v", in.GetParent(), in.GetSecret().GetReplication())
			}
		case *secretmanagerpb.AddSecretVersionRequest:
			if got := c.Header.Get("x-goog-request-params"); len(got) != 1 ||
				!strings.HasPrefix(got[0], "parent=projects%2F") {
				t.Errorf("routed by %q", got)
			}
		}
	}
	if n := fake.Given(); n != 2 {
		t.Errorf("%d tokens for two stores", n)
	}
	methods := make([]string, 0)
	for _, c := range fake.Calls()[:3] {
		methods = append(methods, c.Method)
	}
	if !slices.Equal(methods, []string{"AddSecretVersion", "CreateSecret", "AddSecretVersion"}) {
		t.Errorf("the first write made the calls %q", methods)
	}
}

var _ interface {
	secret.Store
	secret.Writer
	secret.Lister
} = (*gcpsm.Store)(nil)

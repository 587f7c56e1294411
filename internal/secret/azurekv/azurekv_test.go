package azurekv_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/secret"
	"sallyport/internal/secret/azurekv"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/azurefake"
)

// TestMain keeps the tests from the machine's own Azure, and whatever would leave loopback from a proxy that is there.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "IDENTITY_") ||
			strings.HasPrefix(name, "MSI_") {
			_ = os.Unsetenv(name)
		}
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		_ = os.Setenv(name, "http://127.0.0.1:1")
	}
	_ = os.Setenv("NO_PROXY", "")
	os.Exit(m.Run())
}

func options(fake *azurefake.Server) azurekv.Options {
	return azurekv.Options{VaultURL: fake.URL, Credential: fake, CAPool: fake.Pool, RetryDelay: time.Millisecond}
}

func open(t *testing.T, o azurekv.Options) *azurekv.Store {
	t.Helper()
	store, err := azurekv.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func put(t *testing.T, store *azurekv.Store, path, value string) secret.Version {
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
	for name, set := range map[string]func(*azurefake.Server, *azurekv.Options){
		"recovering": func(fake *azurefake.Server, _ *azurekv.Options) { fake.Lag = 3 },
		"purging":    func(fake *azurefake.Server, o *azurekv.Options) { fake.Lag, o.Purge = 2, true },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) secret.Store {
				fake := azurefake.New(t)
				fake.AnySize = true
				o := options(fake)
				set(fake, &o)
				return open(t, o)
			})
		})
	}
}

func TestPutsOfSeveralProcesses(t *testing.T) {
	fake := azurefake.New(t)
	storetest.ConcurrentPuts(t, []secret.Store{open(t, options(fake)), open(t, options(fake)), open(t, options(fake))})
}

func TestNames(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	for path, name := range map[string]string{
		"plain-Name-1": "plain-Name-1", "n8n/openai": "n8n--openai", "DB_PASSWORD": "DB-u-PASSWORD",
		"tls/my-key.pem": "tls--my-key-d-pem", "a/b/c": "a--b--c", "as--it--is": "as--it--is", "x-u-y": "x-u-y",
	} {
		put(t, store, path, "value of "+path)
		if last := fake.Calls()[len(fake.Calls())-1]; last != "PUT /secrets/"+name {
			t.Errorf("%s went out as %q, want %q", path, last, name)
		}
		want(t, store, path, "", "value of "+path)
		want(t, store, name, "", "value of "+path)
	}
	entries, err := store.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Path)
		want(t, store, e.Path, e.Version.ID, "value of "+map[string]string{
			"as/it/is": "as--it--is",
			"x_y":      "x-u-y",
		}[e.Path]+map[bool]string{true: "", false: e.Path}[e.Path == "as/it/is" || e.Path == "x_y"])
	}
	if diff := cmp.Diff([]string{
		"DB_PASSWORD", "a/b/c", "as/it/is", "n8n/openai", "plain-Name-1", "tls/my-key.pem",
		"x_y",
	}, got); diff != "" {
		t.Error(diff)
	}
	before := len(fake.Calls())
	for _, path := range []string{
		"a-/b", "a--b/c", "a-u-b/c", "a b", "ä", "a:b", "a//b", "a/./b", "", "/",
		strings.Repeat("n", 128), strings.Repeat("/n", 60),
	} {
		if _, err := store.Put(t.Context(), path, secret.NewValue([]byte("x"))); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	if len(fake.Calls()) != before {
		t.Error("a name that cannot be was sent")
	}
}

func TestChallenge(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	if first := fake.Calls()[0]; first != "GET /secrets/a/" {
		t.Errorf("the first request is %q", first)
	}
	asked := fake.Asked()
	if len(asked) != 1 || asked[0].TenantID != azurefake.Tenant ||
		!cmp.Equal(asked[0].Scopes, []string{azurefake.Resource + "/.default"}) {
		t.Errorf("asked for %+v, want one token for what the challenge names", asked)
	}
}

func TestBytes(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	put(t, store, "bytes", "\xff\x00")
	if _, tags := fake.Tags("bytes"); tags["file-encoding"] != "base64" {
		t.Errorf("tags of bytes: %v", tags)
	}
	want(t, store, "bytes", "", "\xff\x00")
	put(t, store, "bytes", "text now")
	if _, tags := fake.Tags("bytes"); len(tags) != 0 {
		t.Errorf("tags of text: %v", tags)
	}
	fake.Tag("bytes", "", map[string]string{"file-encoding": "base64"})
	if _, _, err := store.Get(t.Context(), "bytes", ""); err == nil || strings.Contains(err.Error(), "text now") {
		t.Errorf("text that is tagged as base64: %v", err)
	}
	if _, err := store.Put(t.Context(),
		"big", secret.NewValue([]byte(strings.Repeat("x", azurefake.MaxValue+1)))); err == nil ||
		!strings.Contains(err.Error(), "BadParameter") {
		t.Errorf("a value past the service's limit: %v", err)
	}
}

func TestTagsStay(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	one := put(t, store, "a", "one")
	fake.Tag("a", "text/plain", map[string]string{"owner": "platform"})
	check := func() {
		t.Helper()
		if contentType, tags := fake.Tags("a"); contentType != "text/plain" ||
			!cmp.Equal(tags, map[string]string{"owner": "platform"}) {
			t.Errorf("got %q, %v", contentType, tags)
		}
	}
	put(t, store, "a", "two")
	check()
	if _, err := store.Rollback(t.Context(), "a", one.ID); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestDisabled(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	one, two := put(t, store, "a", "one"), put(t, store, "a", "two")
	fake.Disable("a", one.ID)
	wantErr(t, get(t, store, "a", one.ID), secret.ErrVersionGone, "set-attributes --enabled true")
	want(t, store, "a", "", "two")
	fake.Disable("a", two.ID)
	for _, version := range []string{"", one.ID, two.ID} {
		wantErr(t, get(t, store, "a", version), secret.ErrVersionGone, "set-attributes --enabled true")
	}
	wantErr(t, get(t, store, "a", strings.Repeat("0", 32)), secret.ErrVersionGone, "list-versions")
	put(t, store, "a", "three")
	history, err := store.History(t.Context(), "a")
	if err != nil || len(history) != 1 || !history[0].Current {
		t.Errorf("got %+v, %v; want the one version that can be read", history, err)
	}
}

func TestWhatWasDeletedStaysUnread(t *testing.T) {
	fake := azurefake.New(t)
	fake.Lag = 2
	store := open(t, options(fake))
	old, older := put(t, store, "a", "old"), put(t, store, "a", "older")
	if err := store.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, store.Delete(t.Context(), "a"), secret.ErrNotFound, "")
	wantErr(t, get(t, store, "a", old.ID), secret.ErrNotFound, "")
	put(t, store, "a", "new")
	want(t, store, "a", "", "new")
	for _, v := range []secret.Version{old, older} {
		wantErr(t, get(t, store, "a", v.ID), secret.ErrVersionGone, "")
	}
}

func TestSeveralVersionsInOneSecond(t *testing.T) {
	fake := azurefake.New(t)
	fake.SameSecond = true
	store := open(t, options(fake))
	var last secret.Version
	for range 60 { // three pages
		last = put(t, store, "a", "value")
	}
	history, err := store.History(t.Context(), "a")
	if err != nil || len(history) != 60 || history[0].ID != last.ID || !history[0].Current || history[1].Current {
		t.Errorf("%d versions, the first %+v, %v; want %q first", len(history), history[0], err, last.ID)
	}
	entries, err := store.List(t.Context(), "")
	if err != nil || len(entries) != 1 || entries[0].Version.ID != last.ID {
		t.Errorf("listed %+v, %v", entries, err)
	}
}

func TestListInPages(t *testing.T) {
	fake := azurefake.New(t)
	store := open(t, options(fake))
	for i := range 60 {
		put(t, store, "page/s"+string(rune('a'+i/26))+string(rune('a'+i%26)), "x")
	}
	put(t, store, "other", "x")
	entries, err := store.List(t.Context(), "page/")
	if err != nil || len(entries) != 60 {
		t.Errorf("got %d entries, %v", len(entries), err)
	}
}

var _ interface {
	secret.Store
	secret.Writer
	secret.Lister
} = (*azurekv.Store)(nil)

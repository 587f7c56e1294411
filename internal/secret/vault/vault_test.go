package vault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/secret/vault"
	vaultkit "sallyport/internal/testkit/vault"
)

var shared vaultkit.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// fixed is a token that never changes.
func fixed(token string) func() (secret.Value, error) {
	return func() (secret.Value, error) { return secret.NewValue([]byte(token)), nil }
}

// asRoot is a store that may do everything.
func asRoot(t testing.TB, server *vaultkit.Server, change ...func(*vault.Options)) *vault.Store {
	t.Helper()
	o := vault.Options{
		Address: server.Address, CAPool: server.CAPool, Token: fixed(server.RootToken),
		Timeout: time.Minute,
	}
	for _, c := range change {
		c(&o)
	}
	return open(t, o)
}

func open(t testing.TB, o vault.Options) *vault.Store {
	t.Helper()
	store, err := vault.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// kv mounts a KV engine and returns its path.
func kv(t testing.TB, server *vaultkit.Server, path, version string) string {
	t.Helper()
	server.Mount(t, path, "kv", map[string]string{"version": version})
	return path
}

func mustGet(t testing.TB, store secret.Store, path, version string) (string, secret.Version) {
	t.Helper()
	value, v, err := store.Get(t.Context(), path, version)
	if err != nil {
		t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
	}
	return string(value.Reveal()), v
}

func mustPut(t testing.TB, store secret.Writer, path, value string) secret.Version {
	t.Helper()
	v, err := store.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
	}
	return v
}

// wantErr checks the sentinel, and that hint is part of the hint.
func wantErr(t *testing.T, doing string, err, want error, hint string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", doing, err, want)
		return
	}
	if got := fault.HintOf(err); !strings.Contains(got, hint) {
		t.Errorf("%s: %v: hint %q does not have %q", doing, err, got, hint)
	}
}

// oneVersion is what KV version 1 can do of the suite: it keeps one version of a secret.
type oneVersion struct{ store *vault.Store }

func (s oneVersion) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	return s.store.Get(ctx, path, version)
}

func (s oneVersion) Seed(ctx context.Context, path string, value []byte) error {
	_, err := s.store.Put(ctx, path, secret.NewValue(value))
	return err
}

func (s oneVersion) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	return s.store.GetBatch(ctx, keys)
}

func (s oneVersion) Run(ctx context.Context) error { return s.store.Run(ctx) }

func TestConformance(t *testing.T) {
	server := shared.Server(t)
	mounted := func(t *testing.T, version string) *vault.Store {
		kv(t, server, "storetest", version)
		kv(t, server, "other", version)
		return asRoot(t, server)
	}
	t.Run("KV version 2", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store { return mounted(t, "2") })
	})
	t.Run("KV version 1", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store { return oneVersion{mounted(t, "1")} })
	})
	t.Run("concurrent puts", func(t *testing.T) {
		kv(t, server, "storetest", "2")
		server.Call(t, http.MethodPost, "storetest/config", map[string]any{"max_versions": 50})
		storetest.ConcurrentPuts(t, []secret.Store{asRoot(t, server), asRoot(t, server), asRoot(t, server)})
	})
	t.Run("concurrent puts that must be checked", func(t *testing.T) {
		kv(t, server, "storetest", "2")
		server.Call(t, http.MethodPost, "storetest/config", map[string]any{"max_versions": 50, "cas_required": true})
		storetest.ConcurrentPuts(t, []secret.Store{asRoot(t, server), asRoot(t, server)})
	})
}

func TestMapsInVault(t *testing.T) {
	server := shared.Server(t)
	for _, version := range []string{"1", "2"} {
		t.Run("KV version "+version, func(t *testing.T) {
			store := asRoot(t, server)
			mount := kv(t, server, "maps"+version, version)
			for name, c := range map[string]struct {
				put  string
				want map[string]any // in Vault
				got  string         // by Get; "" is what was put
			}{
				"object":            {put: `{"user":"a","password":"b<&>"}`, want: map[string]any{"user": "a", "password": "b<&>"}, got: `{"password":"b<&>","user":"a"}`},
				"pretty":            {put: "{\n  \"user\": \"a\"\n}\n", want: map[string]any{"user": "a"}, got: `{"user":"a"}`},
				"nested":            {put: `{"a":{"b":[1,true,null,"x"]}}`, want: map[string]any{"a": map[string]any{"b": []any{1.0, true, nil, "x"}}}},
				"text":              {put: "hunter2", want: map[string]any{"value": "hunter2", "encoding": "text"}},
				"array":             {put: `["a"]`, want: map[string]any{"value": `["a"]`, "encoding": "text"}},
				"empty object":      {put: `{}`, want: map[string]any{"value": `{}`, "encoding": "text"}},
				"bytes":             {put: "\xff\x00", want: map[string]any{"value": "/wA=", "encoding": "base64"}},
				"a number too long": {put: `{"n":12345678901234567890}`, want: map[string]any{"value": `{"n":12345678901234567890}`, "encoding": "text"}},
				"a key twice":       {put: `{"a":"1","a":"2"}`, want: map[string]any{"value": `{"a":"1","a":"2"}`, "encoding": "text"}},
				"a lone surrogate":  {put: `{"a":"\ud800"}`, want: map[string]any{"value": `{"a":"\ud800"}`, "encoding": "text"}},
				"one of ours":       {put: `{"value":"a","encoding":"text"}`, want: map[string]any{"value": `{"value":"a","encoding":"text"}`, "encoding": "text"}},
				"only a value":      {put: `{"value":"a"}`, want: map[string]any{"value": "a"}},
			} {
				path := mount + "/" + strings.ReplaceAll(name, " ", "-")
				mustPut(t, store, path, c.put)
				if c.got == "" {
					c.got = c.put
				}
				if got, _ := mustGet(t, store, path, ""); got != c.got {
					t.Errorf("%s: got %q, want %q", name, got, c.got)
				}
				if diff := cmp.Diff(c.want, inVault(t, server, version, path)); diff != "" {
					t.Errorf("%s in Vault (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// inVault is what Vault's own users see.
func inVault(t *testing.T, server *vaultkit.Server, version, path string) map[string]any {
	t.Helper()
	if version == "1" {
		return server.Data(t, http.MethodGet, path, nil)
	}
	mount, key, _ := strings.Cut(path, "/")
	data, _ := server.Data(t, http.MethodGet, mount+"/data/"+key, nil)["data"].(map[string]any)
	return data
}

func TestMapsOfOthers(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "theirs", "2")
	store := asRoot(t, server)
	for want, data := range map[string]map[string]any{
		`{"value":"x"}`:                         {"value": "x"},
		`{"port":5432,"user":"n8n"}`:            {"user": "n8n", "port": 5432},
		`{"encoding":"base64","value":"%"}`:     {"value": "%", "encoding": "base64"},
		`{"encoding":"utf-16","value":"x"}`:     {"value": "x", "encoding": "utf-16"},
		`{"encoding":"text","n":1,"value":"x"}`: {"value": "x", "encoding": "text", "n": 1},
	} {
		server.Call(t, http.MethodPost, mount+"/data/map", map[string]any{"data": data})
		if got, _ := mustGet(t, store, mount+"/map", ""); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRollbackKeepsTheMap(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "back", "2")
	store := asRoot(t, server)
	original := map[string]any{"value": "x", "other": "y"}
	server.Call(t, http.MethodPost, mount+"/data/s", map[string]any{"data": original})
	mustPut(t, store, mount+"/s", "replaced")
	if _, err := store.Rollback(t.Context(), mount+"/s", "1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(original, inVault(t, server, "2", mount+"/s")); diff != "" {
		t.Errorf("the map is another (-want +got):\n%s", diff)
	}
}

func TestDeletedByOthers(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "undeleted", "2")
	store := asRoot(t, server)
	path := mount + "/s"
	for _, value := range []string{"one", "two", "three"} {
		mustPut(t, store, path, value)
	}
	server.Call(t, http.MethodPost, mount+"/destroy/s", map[string]any{"versions": []int{2}})
	_, _, err := store.Get(t.Context(), path, "2")
	wantErr(t, "a destroyed version", err, secret.ErrVersionGone, "")
	history, err := store.History(t.Context(), path)
	if err != nil || len(history) != 2 || history[0].ID != "3" || history[1].ID != "1" {
		t.Errorf("the history is %+v, %v; want versions 3 and 1", history, err)
	}

	server.Call(t, http.MethodDelete, mount+"/data/s", nil)
	_, _, err = store.Get(t.Context(), path, "")
	wantErr(t, "a deleted secret", err, secret.ErrNotFound, "vault kv undelete -versions=3")
	if got, v := mustGet(t, store, path, "1"); got != "one" || v.Current {
		t.Errorf("a pinned version of it is %q, current %t", got, v.Current)
	}
	if entries, err := store.List(t.Context(), mount+"/"); err != nil || len(entries) != 0 {
		t.Errorf("it is listed: %v, %v", entries, err)
	}
	server.Call(t, http.MethodPost, mount+"/undelete/s", map[string]any{"versions": []int{3}})
	if got, _ := mustGet(t, store, path, ""); got != "three" {
		t.Errorf("undeleted it is %q", got)
	}
	for range 12 { // Vault keeps ten versions
		mustPut(t, store, path, "more")
	}
	_, _, err = store.Get(t.Context(), path, "1")
	wantErr(t, "a version that Vault has dropped", err, secret.ErrVersionGone, "")
	_, err = store.Rollback(t.Context(), path, "1")
	wantErr(t, "rolling back to it", err, secret.ErrVersionGone, "")
}

func TestPutIf(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "cas", "2")
	store := asRoot(t, server)
	path := mount + "/s"
	putIf := func(value, expected string) (secret.Version, error) {
		return store.PutIf(t.Context(), path, secret.NewValue([]byte(value)), expected)
	}
	_, err := putIf("x", "1")
	wantErr(t, "expecting a version of nothing", err, secret.ErrConflict, "")
	one, err := putIf("one", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = putIf("x", "")
	wantErr(t, "expecting nothing where something is", err, secret.ErrConflict, "")
	two, err := putIf("two", one.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = putIf("x", one.ID)
	wantErr(t, "expecting an old version", err, secret.ErrConflict, "")
	if err := store.Delete(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	_, err = putIf("x", two.ID)
	wantErr(t, "expecting what was deleted", err, secret.ErrConflict, "")
	if three, err := putIf("three", ""); err != nil || three.ID != "3" {
		t.Errorf("making it again: %+v, %v; want version 3", three, err)
	}

	// Many at once: one wins each round.
	won := make(chan string, 8)
	for i := range cap(won) {
		go func() {
			value := fmt.Sprint("value ", i)
			if _, err := putIf(value, "3"); err == nil {
				won <- value
			} else if !errors.Is(err, secret.ErrConflict) {
				t.Errorf("losing: %v", err)
				won <- ""
			} else {
				won <- ""
			}
		}()
	}
	var winners []string
	for range cap(won) {
		if w := <-won; w != "" {
			winners = append(winners, w)
		}
	}
	if got, v := mustGet(t, store, path, ""); len(winners) != 1 || got != winners[0] || v.ID != "4" {
		t.Errorf("winners %q, and the secret is %q version %s", winners, got, v.ID)
	}
}

func TestVersion1(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "first", "1")
	store := asRoot(t, server)
	path := mount + "/a/s"
	v := mustPut(t, store, path, "one")
	if got, same := mustGet(t, store, path, v.ID); got != "one" || same.ID != v.ID || !same.Current {
		t.Errorf("by its version it is %q, %+v", got, same)
	}
	if other := mustPut(t, store, path, "two"); other.ID == v.ID {
		t.Error("another value has the same version")
	}
	_, _, err := store.Get(t.Context(), path, v.ID)
	wantErr(t, "an old version", err, secret.ErrVersionGone, "")
	_, err = store.Rollback(t.Context(), path, v.ID)
	wantErr(t, "rolling back", err, err, "enable-versioning")
	_, err = store.PutIf(t.Context(), path, secret.NewValue([]byte("x")), v.ID)
	wantErr(t, "check-and-set", err, err, "enable-versioning")
	if err == nil {
		t.Error("check-and-set is said to have worked")
	}
	mustPut(t, store, mount+"/b", "x")
	entries, err := store.List(t.Context(), mount+"/")
	if err != nil || len(entries) != 2 || entries[0].Path != path || entries[1].Path != mount+"/b" {
		t.Errorf("the list is %v, %v", entries, err)
	}
	if history, err := store.History(t.Context(), path); err != nil || len(history) != 1 {
		t.Errorf("the history is %v, %v", history, err)
	}
	if err := store.Delete(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "deleting again", store.Delete(t.Context(), path), secret.ErrNotFound, "")
}

func TestMounts(t *testing.T) {
	server := shared.Server(t)
	store := asRoot(t, server)
	kv(t, server, "deep/er/one", "2")
	kv(t, server, "deep/er/two", "1")
	server.Mount(t, "deep/er/not", "transit", nil)
	mustPut(t, store, "deep/er/one/a", "1")
	mustPut(t, store, "deep/er/two/a", "2")
	for prefix, want := range map[string][]string{
		"deep/":           {"deep/er/one/a", "deep/er/two/a"},
		"deep/er/o":       {"deep/er/one/a"},
		"deep/er/two/":    {"deep/er/two/a"},
		"deep/er/two/b":   nil,
		"deep/er/not/":    nil,
		"nowhere/at/all/": nil,
	} {
		entries, err := asRoot(t, server).List(t.Context(), prefix)
		if err != nil {
			t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Path)
		}
		if !slices.Equal(got, want) {
			t.Errorf("listing %q: got %q, want %q", prefix, got, want)
		}
	}
	entries, err := store.List(t.Context(), "")
	if err != nil || !slices.ContainsFunc(entries, func(e secret.Entry) bool { return e.Path == "deep/er/two/a" }) {
		t.Errorf("listing everything: %v, %v", entries, err)
	}
	_, err = store.Put(t.Context(), "deep/er/not/a", secret.NewValue([]byte("x")))
	wantErr(t, "writing to another engine", err, err, "KV engine")
	_, _, err = store.Get(t.Context(), "deep/er/one/data/a", "")
	wantErr(t, "the path of the HTTP API", err, secret.ErrNotFound, `"deep/er/one/a"`)
	_, _, err = store.Get(t.Context(), "nowhere/at/all", "")
	wantErr(t, "no mount", err, secret.ErrNotFound, "vault secrets list")

	// A version that the configuration gives is taken at its word.
	wrong := asRoot(t, server, func(o *vault.Options) { o.KV = 1 })
	_, _, err = wrong.Get(t.Context(), "deep/er/one/a", "")
	wantErr(t, "version 1 where 2 is", err, secret.ErrNotFound, "")
}

func TestPathsAreSentAsTheyAre(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "odd", "2")
	store := asRoot(t, server)
	for _, name := range []string{"a b", "a%2fb", "a?version=1", "ü", "a#b", "a+b", "a;b", "-", "a%b"} {
		mustPut(t, store, mount+"/"+name, name)
	}
	entries, err := store.List(t.Context(), mount+"/")
	if err != nil || len(entries) != 9 {
		t.Fatalf("the list is %v, %v", entries, err)
	}
	for _, e := range entries {
		if got, _ := mustGet(t, store, e.Path, ""); mount+"/"+got != e.Path {
			t.Errorf("%q holds %q", e.Path, got)
		}
	}
}

func TestTooLarge(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "large", "2")
	parts := make([]string, 10)
	for i := range parts {
		parts[i] = fmt.Sprintf("%q:%q", fmt.Sprint("key", i), strings.Repeat("x", 900<<10))
	}
	for name, value := range map[string]string{
		"a text for the listener": strings.Repeat("x", 2<<20),
		"a map for the storage":   "{" + strings.Join(parts, ",") + "}",
		"anything":                strings.Repeat("x", 40<<20),
	} {
		_, err := asRoot(t, server).Put(t.Context(), mount+"/s", secret.NewValue([]byte(value)))
		if err == nil || errors.Is(err, secret.ErrUnavailable) || !strings.Contains(err.Error(), "too large") {
			t.Errorf("%s: got %v, want that it is too large", name, err)
		}
	}
}

func TestGetBatch(t *testing.T) {
	server := shared.Server(t)
	mount := kv(t, server, "batch", "2")
	store := asRoot(t, server)
	var keys []secret.Key
	for i := range 40 {
		path := fmt.Sprintf("%s/s%d", mount, i)
		mustPut(t, store, path, path)
		keys = append(keys, secret.Key{Path: path}, secret.Key{Path: path, Version: "1"},
			secret.Key{Path: path, Version: "9"}, secret.Key{Path: path + "/no"})
	}
	results := store.GetBatch(t.Context(), keys)
	for i, k := range keys {
		r := results[i]
		switch {
		case k.Version == "9":
			wantErr(t, k.Path, r.Err, secret.ErrVersionGone, "")
		case strings.HasSuffix(k.Path, "/no"):
			wantErr(t, k.Path, r.Err, secret.ErrNotFound, "")
		case r.Err != nil || string(r.Value.Reveal()) != k.Path || r.Version.ID != "1":
			t.Errorf("%v: got %d bytes, %+v, %v", k, r.Value.Len(), r.Version, r.Err)
		}
	}
	copy(results[0].Value.Reveal(), "xxxx")
	again := store.GetBatch(t.Context(), []secret.Key{keys[0], keys[0]})
	copy(again[0].Value.Reveal(), "yyyy")
	if got := string(again[1].Value.Reveal()); got != keys[0].Path {
		t.Errorf("one caller's bytes are the other's: %q", got)
	}
	if len(store.GetBatch(t.Context(), nil)) != 0 {
		t.Error("a batch of nothing gives something")
	}
}

func TestOptions(t *testing.T) {
	token := fixed("t")
	for name, o := range map[string]vault.Options{
		"no address":      {Token: token},
		"no scheme":       {Address: "127.0.0.1:8200", Token: token},
		"other scheme":    {Address: "unix:///run/vault.sock", Token: token},
		"password":        {Address: "https://a:canary@vault", Token: token},
		"no login":        {Address: "https://vault"},
		"two logins":      {Address: "https://vault", Token: token, JWT: &vault.JWT{JWTFile: "f"}},
		"kv 3":            {Address: "https://vault", Token: token, KV: 3},
		"namespace":       {Address: "https://vault", Token: token, Namespace: "a\r\nX-Vault-Token: b"},
		"no role id":      {Address: "https://vault", AppRole: &vault.AppRole{}},
		"wrapped nothing": {Address: "https://vault", AppRole: &vault.AppRole{RoleID: "r", Wrapped: true}},
		"no role":         {Address: "https://vault", Kubernetes: &vault.Kubernetes{}},
		"no jwt":          {Address: "https://vault", JWT: &vault.JWT{Role: "r"}},
		"no certificate":  {Address: "https://vault", Cert: &vault.Cert{}},
	} {
		if _, err := vault.New(o); err == nil || strings.Contains(err.Error()+fault.HintOf(err), "canary") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

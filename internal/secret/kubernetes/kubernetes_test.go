package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/kube"
)

var shared kube.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

const canary = "canary-k9s4"

// everything is what a role allows that the whole store needs.
var everything = kube.Rule{Verbs: []string{"get", "list", "watch", "create", "update", "delete"}}

// open is a store for a namespace, with the rights of rules.
func open(t *testing.T, server *kube.Server, namespace string, rules ...kube.Rule) *kubernetes.Store {
	t.Helper()
	return openAs(t, server, namespace, server.Account(t, namespace, "sallyport", rules...))
}

func openAs(t *testing.T, server *kube.Server, namespace, token string) *kubernetes.Store {
	t.Helper()
	store, err := kubernetes.New(kubernetes.Options{
		Kubeconfig: server.Kubeconfig(t, token, namespace),
		Timeout:    time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// fresh is a store for a namespace of its own, in which it may do everything.
func fresh(t *testing.T) (store *kubernetes.Store, server *kube.Server, namespace string) {
	t.Helper()
	server = shared.Server(t)
	namespace = server.Namespace(t)
	return open(t, server, namespace, everything), server, namespace
}

// seeded is the store as the conformance suite sees it: one that cannot keep versions is no secret.Writer to it.
type seeded struct {
	store *kubernetes.Store
	path  func(string) string // from the suite's to Kubernetes'
}

func (s seeded) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	value, v, err := s.store.Get(ctx, s.path(path), version)
	return value, v, named(path, err)
}

// named names the suite's path, which the store does not know.
func named(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (s seeded) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	theirs := make([]secret.Key, len(keys))
	for i, k := range keys {
		theirs[i] = secret.Key{Path: s.path(k.Path), Version: k.Version}
	}
	results := s.store.GetBatch(ctx, theirs)
	for i := range results {
		results[i].Err = named(keys[i].Path, results[i].Err)
	}
	return results
}

func (s seeded) Watch(ctx context.Context, paths []string, changed func(path string)) error {
	theirs := make(map[string]string)
	for _, path := range paths {
		theirs[s.path(path)] = path
	}
	return s.store.Watch(ctx, slices.Collect(maps.Keys(theirs)), func(path string) {
		if own, ok := theirs[path]; ok {
			path = own
		}
		changed(path)
	})
}

func (s seeded) PutIf(ctx context.Context, path string, value secret.Value, expected string) (secret.Version, error) {
	v, err := s.store.PutIf(ctx, s.path(path), value, expected)
	return v, named(path, err)
}

func (s seeded) Seed(ctx context.Context, path string, value []byte) error {
	_, err := s.store.Put(ctx, s.path(path), secret.NewValue(value))
	return err
}

func TestConformance(t *testing.T) {
	t.Run("whole Secrets", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store {
			store, _, namespace := fresh(t)
			return seeded{store, func(path string) string {
				return strings.Replace(path, "storetest/", namespace+"/", 1)
			}}
		})
	})
	t.Run("keys of a Secret", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) secret.Store {
			store, _, namespace := fresh(t)
			return seeded{store, func(path string) string {
				return namespace + "/s-" + strings.ReplaceAll(strings.TrimPrefix(path, "storetest/"), "/", "-") + "/key"
			}}
		})
	})
}

func read(t *testing.T, store secret.Store, path string) string {
	t.Helper()
	value, v, err := store.Get(t.Context(), path, "")
	if err != nil {
		t.Fatalf("getting %q: %v", path, err)
	}
	if v.ID == "" || !v.Current || v.Created.IsZero() || v.Created.Location() != time.UTC {
		t.Errorf("getting %q: version %+v", path, v)
	}
	return string(value.Reveal())
}

func write(t *testing.T, store secret.Writer, path, value string) secret.Version {
	t.Helper()
	v, err := store.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatalf("putting %q: %v", path, err)
	}
	if v.ID == "" || !v.Current || v.Created.IsZero() || v.Created.Location() != time.UTC {
		t.Errorf("putting %q: version %+v", path, v)
	}
	return v
}

// wantErr checks the sentinel, that the path is named, and what the hint says.
func wantErr(t *testing.T, doing string, err, want error, path string, hints ...string) {
	t.Helper()
	if err == nil || (want != nil && !errors.Is(err, want)) {
		t.Errorf("%s: got %v, want %v", doing, err, want)
		return
	}
	if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), canary) {
		t.Errorf("%s: %q: want the path %q in it, and no secret", doing, err, path)
	}
	for _, hint := range hints {
		if !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%s: the hint %q does not say %q", doing, fault.HintOf(err), hint)
		}
	}
}

// TestReadsWhatOthersMake reads Secrets as kubectl, sealed-secrets and cert-manager leave them.
func TestReadsWhatOthersMake(t *testing.T) {
	store, server, ns := fresh(t)
	server.Secret(t, ns, "db", map[string]string{"user": "n8n", "password": "pä<ss>"})
	server.Secret(t, ns, "binary", nil, kube.Object{"data": kube.Object{"keystore.jks": "/u3+7Q==", "text": "dA=="}})
	server.Secret(t, ns, "sealed", map[string]string{"key": "unsealed"}, kube.Object{"metadata": kube.Object{
		"name":            "sealed",
		"ownerReferences": []kube.Object{{"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": "sealed", "uid": "b1c9a7a0-0000-4000-8000-000000000001", "controller": true}},
	}})
	server.Secret(t, ns, "fixed", map[string]string{"key": "for good"}, kube.Object{"immutable": true})
	server.Secret(t, ns, "none", nil)

	for path, want := range map[string]string{
		"db": `{"password":"pä<ss>","user":"n8n"}`, ns + "/db": `{"password":"pä<ss>","user":"n8n"}`, "/db": `{"password":"pä<ss>","user":"n8n"}`,
		ns + "/db/password": "pä<ss>", "/db/user": "n8n",
		"binary": `{"keystore.jks:base64":"/u3+7Q==","text":"t"}`, "/binary/keystore.jks": "\xfe\xed\xfe\xed",
		"sealed": `{"key":"unsealed"}`, "/sealed/key": "unsealed", "/fixed/key": "for good", "none": "{}",
	} {
		if got := read(t, store, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	_, _, err := store.Get(t.Context(), "/db/other", "")
	wantErr(t, "a key that is not there", err, secret.ErrNotFound, "/db/other", "no such key")
	_, _, err = store.Get(t.Context(), "/nothing", "")
	wantErr(t, "no Secret", err, secret.ErrNotFound, "/nothing")
	_, _, err = store.Get(t.Context(), "db/password", "")
	wantErr(t, "a name for a namespace", err, secret.ErrDenied, "db/password", "written /db/password", `namespace "db"`)
	_, _, err = openAs(t, server, ns, server.AdminToken).Get(t.Context(), "db/password", "")
	wantErr(t, "a name for a namespace, as administrator", err, secret.ErrNotFound, "db/password",
		"written /db/password")
	for _, path := range []string{
		"", "/", "a/b/c/d", "a_b", "A", ns + "/db/", ns + "/db/a b", ns + "/db/..", "N/db",
		ns + "//key", "x/API_KEY", "a\x00",
	} {
		if _, _, err := store.Get(t.Context(), path, ""); err == nil || errors.Is(err, secret.ErrNotFound) ||
			fault.HintOf(err) == "" {
			t.Errorf("the path %q: got %v, want an error with a hint", path, err)
		}
	}
}

func TestVersions(t *testing.T) {
	store, _, ns := fresh(t)
	one := write(t, store, ns+"/v/key", "one")
	two := write(t, store, ns+"/v/key", "two")
	if one.ID == two.ID || two.Created.Before(one.Created) {
		t.Errorf("versions %+v and %+v", one, two)
	}
	value, v, err := store.Get(t.Context(), ns+"/v/key", two.ID)
	if err != nil || string(value.Reveal()) != "two" || v != two {
		t.Errorf("the current version by its name: %+v, %v; want %+v", v, err, two)
	}
	for _, version := range []string{one.ID, "0", "999999999", "x"} {
		_, _, err = store.Get(t.Context(), ns+"/v/key", version)
		wantErr(t, "version "+version, err, secret.ErrVersionGone, ns+"/v/key", "current version only")
	}
	_, err = store.Rollback(t.Context(), ns+"/v/key", one.ID)
	wantErr(t, "rolling back", err, secret.ErrVersionGone, ns+"/v/key", "put the old value again")
	_, err = store.Rollback(t.Context(), ns+"/nothing/key", one.ID)
	wantErr(t, "rolling back nothing", err, secret.ErrNotFound, ns+"/nothing/key")
	history, err := store.History(t.Context(), ns+"/v/key")
	if diff := cmp.Diff([]secret.Version{two}, history); err != nil || diff != "" {
		t.Errorf("the history: %v\n%s", err, diff)
	}
}

func TestWriteLeavesTheRestAlone(t *testing.T) {
	store, server, ns := fresh(t)
	server.Secret(t, ns, "db", map[string]string{"user": "n8n", "password": "old"},
		kube.Object{"type": "example.com/db", "metadata": kube.Object{
			"name": "db", "labels": kube.Object{"team": "a"}, "annotations": kube.Object{"note": "b"},
		}})
	write(t, store, "/db/password", "new")
	write(t, store, "/db/third", "c")
	if got, want := read(t, store, "db"), `{"password":"new","third":"c","user":"n8n"}`; got != want {
		t.Errorf("after keys: got %s, want %s", got, want)
	}
	write(t, store, "db", ` {"password": "newer", "jks:base64": "/w=="} `)
	if got, want := read(t, store, "db"), `{"jks:base64":"/w==","password":"newer"}`; got != want {
		t.Errorf("after all: got %s, want %s", got, want)
	}
	if err := store.Delete(t.Context(), "/db/jks"); err != nil {
		t.Fatal(err)
	}
	held := server.Call(t, http.MethodGet, kube.Secrets(ns)+"/db", nil)
	metadata, _ := held["metadata"].(kube.Object)
	got := kube.Object{
		"type": held["type"], "labels": metadata["labels"], "annotations": metadata["annotations"],
		"data": held["data"],
	}
	want := kube.Object{
		"type": "example.com/db", "labels": kube.Object{"team": "a"},
		"annotations": kube.Object{"note": "b"}, "data": kube.Object{"password": "bmV3ZXI="},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestWhole: what Put is given as a whole comes back, and does not replace keys that it does not know of.
func TestWhole(t *testing.T) {
	store, server, ns := fresh(t)
	for name, value := range map[string]string{
		"text": "just text", "number": `{"port":5432}`, "nested": `{"a":{"b":"c"}}`, "twice": `{"a":"1","a":"2"}`, "no-key": `{"a b":"c"}`, "list": `["a"]`, "empty": `{}`,
		"more": `{"a":"b"} {"c":"d"}`, "cut": `{"a":"b"`, "marked-text": `{"a:base64":"dA=="}`, "marked-badly": `{"a:base64":"%"}`, "both": `{"a":"x","a:base64":"/w=="}`,
		"surrogate": `{"a":"\ud800"}`, "dots": `{"..":"a"}`, "bytes": "\xff\x00", "the-key": `{"value":"x"}`,
	} {
		write(t, store, name, value)
		if got := read(t, store, name); got != value {
			t.Errorf("%s: %q came back as %q", name, value, got)
		}
	}
	write(t, store, "text", "other text")
	if got := read(t, store, "/text/value"); got != "other text" {
		t.Errorf("the key of a single value: %q", got)
	}
	write(t, store, "text", `{"a":"b"}`)
	_, err := store.Put(t.Context(), "text", secret.NewValue([]byte(canary)))
	wantErr(t, "text over keys", err, nil, "text", "namespace/name/key")
	server.Call(t, http.MethodPatch, kube.Secrets(ns)+"/bytes", kube.Object{"stringData": kube.Object{"second": "s"}})
	if got, want := read(t, store, "bytes"), `{"second":"s","value:base64":"/wA="}`; got != want {
		t.Errorf("with a second key: got %s, want %s", got, want)
	}
}

func TestPutIf(t *testing.T) {
	store, _, ns := fresh(t)
	path := ns + "/cas/key"
	one, err := store.PutIf(t.Context(), path, secret.NewValue([]byte("one")), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.PutIf(t.Context(), path, secret.NewValue([]byte("other")), "")
	wantErr(t, "making what is there", err, secret.ErrConflict, path)
	two, err := store.PutIf(t.Context(), path, secret.NewValue([]byte("two")), one.ID)
	if err != nil || two.ID == one.ID {
		t.Fatalf("with the current version: %+v, %v", two, err)
	}
	_, err = store.PutIf(t.Context(), path, secret.NewValue([]byte("late")), one.ID)
	wantErr(t, "with an old version", err, secret.ErrConflict, path)
	_, err = store.PutIf(t.Context(), ns+"/nothing", secret.NewValue([]byte("x")), one.ID)
	wantErr(t, "with a version of nothing", err, secret.ErrConflict, ns+"/nothing")
	if _, err = store.PutIf(t.Context(), ns+"/cas/second", secret.NewValue([]byte("2")), ""); err != nil {
		t.Errorf("a second key: %v", err)
	}
	if got, want := read(t, store, ns+"/cas"), `{"key":"two","second":"2"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestConcurrentPuts: of writers of different keys in one Secret, none undoes what another wrote.
func TestConcurrentPuts(t *testing.T) {
	store, _, ns := fresh(t)
	const writers = 6
	done := make(chan error)
	for i := range writers {
		go func() {
			_, err := store.Put(t.Context(), fmt.Sprintf("%s/shared/key%d", ns, i), secret.NewValue([]byte("x")))
			done <- err
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got, want := read(t, store, ns+"/shared"),
		`{"key0":"x","key1":"x","key2":"x","key3":"x","key4":"x","key5":"x"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRefusedWrites(t *testing.T) {
	store, server, ns := fresh(t)
	server.Secret(t, ns, "fixed", map[string]string{"key": "for good"}, kube.Object{"immutable": true})
	server.Secret(t, ns, "owned", map[string]string{"key": "a"}, kube.Object{"metadata": kube.Object{
		"name":            "owned",
		"ownerReferences": []kube.Object{{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "upstream", "uid": "b1c9a7a0-0000-4000-8000-000000000002", "controller": true}},
	}})
	server.Secret(t, ns, "tls", map[string]string{"tls.crt": "a", "tls.key": "b"},
		kube.Object{"type": "kubernetes.io/tls"})
	put := func(path, value string) error {
		_, err := store.Put(t.Context(), path, secret.NewValue([]byte(value)))
		return err
	}
	wantErr(t, "an immutable Secret", put("/fixed/key", canary), nil, "/fixed/key", "another name")
	wantErr(t, "a controller's Secret", put("/owned/key", canary), nil, "ExternalSecret", "change it there")
	wantErr(t, "deleting a controller's Secret", store.Delete(t.Context(), "owned"), nil,
		"ExternalSecret", "change it there")
	wantErr(t, "a certificate without a key", put("tls", `{"tls.crt":"`+canary+`"}`), nil, "not taken",
		"keys of its type")
	wantErr(t, "too large a value", put("large", strings.Repeat(canary, 1<<17)), nil, "large", "1 MiB")
	wantErr(t, "no value", put("empty", ""), nil, "empty", "delete")
	wantErr(t, "no namespace", put("no-such-namespace/x", canary), secret.ErrDenied, "no-such-namespace/x")
	admin := openAs(t, server, ns, server.AdminToken)
	_, err := admin.Put(t.Context(), "no-such-namespace/x", secret.NewValue([]byte(canary)))
	wantErr(t, "no namespace, as administrator", err, secret.ErrNotFound, "no-such-namespace/x",
		"kubectl create namespace no-such-namespace")
	if got := read(t, store, "/fixed/key"); got != "for good" {
		t.Errorf("the immutable Secret has changed: %q", got)
	}
	if err := store.Delete(t.Context(), "fixed"); err != nil {
		t.Errorf("an immutable Secret can be deleted: %v", err)
	}
}

func TestDelete(t *testing.T) {
	store, _, ns := fresh(t)
	old := write(t, store, ns+"/d/key", "old")
	write(t, store, ns+"/d/below", "stays")
	if err := store.Delete(t.Context(), ns+"/d/key"); err != nil {
		t.Fatal(err)
	}
	_, _, err := store.Get(t.Context(), ns+"/d/key", old.ID)
	wantErr(t, "a deleted key", err, secret.ErrNotFound, ns+"/d/key")
	wantErr(t, "deleting a key again", store.Delete(t.Context(), ns+"/d/key"), secret.ErrNotFound, ns+"/d/key")
	if got := read(t, store, ns+"/d"); got != `{"below":"stays"}` {
		t.Errorf("what is left: %s", got)
	}
	if err := store.Delete(t.Context(), ns+"/d"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "deleting again", store.Delete(t.Context(), ns+"/d"), secret.ErrNotFound, ns+"/d")
	if revived := write(t, store, ns+"/d/key", "new"); revived.ID == old.ID {
		t.Errorf("version %q was given out twice", old.ID)
	}
	_, _, err = store.Get(t.Context(), ns+"/d/key", old.ID)
	wantErr(t, "a version from before", err, secret.ErrVersionGone, ns+"/d/key")
}

func TestList(t *testing.T) {
	store, server, ns := fresh(t)
	other := server.Namespace(t)
	server.Secret(t, other, "elsewhere", map[string]string{"a": "b"})
	for _, name := range []string{"b", "a.z", "a", "gone"} {
		server.Secret(t, ns, name, map[string]string{"one": "1", "two": "2"})
	}
	newer := write(t, store, "/b/one", "newer")
	if err := store.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"":             {"a", "a.z", "b"},
		"a":            {"a", "a.z"},
		"/":            {"/a", "/a.z", "/b"},
		ns + "/":       {ns + "/a", ns + "/a.z", ns + "/b"},
		ns + "/a.":     {ns + "/a.z"},
		ns + "/b/":     {ns + "/b/one", ns + "/b/two"},
		"/b/t":         {"/b/two"},
		ns + "/gone/":  nil,
		ns + "/b/one/": nil,
		"%":            nil,
		"\xff":         nil,
		"A/":           nil,
	} {
		entries, err := store.List(t.Context(), prefix)
		if err != nil {
			t.Errorf("listing %q: %v", prefix, err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Path)
			if strings.HasSuffix(e.Path, "b") && (e.Version != newer) {
				t.Errorf("listing %q: %s has version %+v, want %+v", prefix, e.Path, e.Version, newer)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("listing %q: %s", prefix, diff)
		}
	}
}

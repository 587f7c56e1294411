package kubernetes_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"sallyport/internal/secret"
	"sallyport/internal/testkit/kube"
)

// fill makes n Secrets in a namespace, several at once.
func fill(t *testing.T, server *kube.Server, namespace string, n int) {
	t.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				name := fmt.Sprintf("s%05d", i)
				body := kube.Object{
					"metadata":   kube.Object{"name": name},
					"stringData": map[string]string{"key": "value of " + name},
				}
				if _, err := server.Ask(http.MethodPost, kube.Secrets(namespace), body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

func TestBatch(t *testing.T) {
	server := shared.Server(t)
	ns, other := server.Namespace(t), server.Namespace(t)
	const many = 600 // three pages
	fill(t, server, ns, many)
	server.Secret(t, ns, "release", map[string]string{"key": "not listed"}, kube.Object{"type": "helm.sh/release.v1"})
	server.Secret(t, other, "elsewhere", map[string]string{"key": "value"})
	var keys []secret.Key
	for i := range many {
		keys = append(keys, secret.Key{Path: fmt.Sprintf("%s/s%05d/key", ns, i)})
	}
	special := []secret.Key{
		{Path: ns + "/nothing"},
		{Path: ns + "/s00001/nothing"},
		{Path: ns + "/s00002/key", Version: "1"},
		{Path: "bad path"},
		{Path: other + "/elsewhere/key"},
		{Path: ns + "/release/key"},
		{Path: ns + "/s00003"},
		{Path: ns + "/s00003/key"},
	}
	wants := []struct {
		value string
		err   error
	}{
		{"", secret.ErrNotFound},
		{"", secret.ErrNotFound},
		{"", secret.ErrVersionGone},
		{"", nil},
		{"", secret.ErrDenied},
		{"not listed", nil},
		{`{"key":"value of s00003"}`, nil},
		{"value of s00003", nil},
	}
	for name, rule := range map[string]kube.Rule{"by list": everything, "one by one": {Verbs: []string{"get"}}} {
		t.Run(name, func(t *testing.T) {
			account := "batch-" + rule.Verbs[len(rule.Verbs)-1]
			store := openAs(t, server, ns, server.Account(t, ns, account, rule))
			results := store.GetBatch(t.Context(), append(keys[:many:many], special...))
			for i, res := range results[:many] {
				if want := fmt.Sprintf("value of s%05d", i); res.Err != nil || string(res.Value.Reveal()) != want ||
					res.Version.ID == "" {
					t.Fatalf("%s: %q, %+v, %v", keys[i].Path, res.Value.Reveal(), res.Version, res.Err)
				}
			}
			for i, res := range results[many:] {
				want := wants[i]
				if string(res.Value.Reveal()) != want.value || (want.value == "") != (res.Err != nil) ||
					(want.err != nil && !errors.Is(res.Err, want.err)) {
					t.Errorf("%s: got %q, %v; want %q, %v", special[i].Path, res.Value.Reveal(), res.Err,
						want.value, want.err)
				}
			}
		})
	}
}

// TestTenThousand prints how long many secrets take; it asserts only that they are right.
func TestTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some ten seconds")
	}
	store, server, ns := fresh(t)
	const many = 10_000
	start := time.Now()
	fill(t, server, ns, many)
	t.Logf("making %d Secrets took %s", many, time.Since(start).Round(time.Millisecond))
	keys := make([]secret.Key, many)
	for i := range keys {
		keys[i].Path = fmt.Sprintf("/s%05d/key", i)
	}
	start = time.Now()
	for i, res := range store.GetBatch(t.Context(), keys) {
		if want := fmt.Sprintf("value of s%05d", i); res.Err != nil || string(res.Value.Reveal()) != want {
			t.Fatalf("%s: %q, %v", keys[i].Path, res.Value.Reveal(), res.Err)
		}
	}
	t.Logf("reading %d Secrets in a batch took %s", many, time.Since(start).Round(time.Millisecond))
	start = time.Now()
	entries, err := store.List(t.Context(), "")
	if err != nil || len(entries) != many {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	t.Logf("listing them took %s", time.Since(start).Round(time.Millisecond))
}

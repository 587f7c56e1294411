package awssm_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"sallyport/internal/secret"
	"sallyport/internal/testkit/awsfake"
)

func keys(names ...string) []secret.Key {
	var out []secret.Key
	for _, name := range names {
		path, version, _ := strings.Cut(name, "@")
		out = append(out, secret.Key{Path: path, Version: version})
	}
	return out
}

func TestBatch(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	names := many("b/", 45)
	for _, name := range names {
		put(t, store, name, "value of "+name)
	}
	put(t, store, "b/0001", "newer")
	put(t, store, "b/gone", "x")
	if err := store.Delete(t.Context(), "b/gone"); err != nil {
		t.Fatal(err)
	}
	fake.Allowed = func(_, name string) bool { return name != "b/0002" }
	asked := keys(append(names, "b/0001@AWSPREVIOUS", "b/0003", "b/nothing", "b/gone", "b/../x", "b/0001@nope",
		fake.ARN("b/0004"), fake.ARN("b/0005")[:len(fake.ARN("b/0005"))-7])...)
	got := store.GetBatch(t.Context(), asked)
	if len(got) != len(asked) {
		t.Fatalf("%d results for %d keys", len(got), len(asked))
	}
	wants := map[string]string{
		"b/0001@": "newer", "b/0001@AWSPREVIOUS": "value of b/0001",
		fake.ARN("b/0004") + "@": "value of b/0004", fake.ARN("b/0005")[:len(fake.ARN("b/0005"))-7] +
			"@": "value of b/0005",
	}
	errs := map[string]error{
		"b/0002@": secret.ErrDenied, "b/nothing@": secret.ErrNotFound,
		"b/gone@": secret.ErrNotFound, "b/0001@nope": secret.ErrVersionGone,
	}
	for i, key := range asked {
		id, r := key.Path+"@"+key.Version, got[i]
		switch err, fails := errs[id]; {
		case fails:
			wantErr(t, r.Err, err, "")
			if !strings.Contains(r.Err.Error(), key.Path) {
				t.Errorf("%q does not name %q", r.Err, key.Path)
			}
		case key.Path == "b/../x":
			if r.Err == nil {
				t.Error("a path with a dot segment was read")
			}
		default:
			value := wants[id]
			if value == "" {
				value = "value of " + key.Path
			}
			if r.Err != nil || string(r.Value.Reveal()) != value || r.Version.ID == "" ||
				r.Version.Current == (key.Version == "AWSPREVIOUS") {
				t.Errorf("%s: got %q, %+v, %v; want %q", id, r.Value.Reveal(), r.Version, r.Err, value)
			}
		}
	}
	if n := fake.Count("BatchGetSecretValue"); n != 4 {
		t.Errorf("%d batches for 47 names and two ARNs, want 4", n)
	}
	if n := fake.Count("GetSecretValue"); n != 2 {
		t.Errorf("%d single reads, want those of two versions", n)
	}
}

func TestBatchesNotAllowed(t *testing.T) {
	for _, code := range []string{"AccessDeniedException", "UnknownOperationException"} {
		fake := awsfake.New(t)
		store := open(t, options(fake))
		names := many("b/", 400)
		for _, name := range names {
			put(t, store, name, name)
		}
		fake.Answer = func(w http.ResponseWriter, _ *http.Request, action string) bool {
			if action == "BatchGetSecretValue" {
				awsfake.Fail(w, 400, code, "")
			}
			return action == "BatchGetSecretValue"
		}
		for i, r := range store.GetBatch(t.Context(), keys(names...)) {
			if r.Err != nil || string(r.Value.Reveal()) != names[i] {
				t.Errorf("%s: %q, %v", names[i], r.Value.Reveal(), r.Err)
			}
		}
		if n := fake.Count("BatchGetSecretValue"); n > 8 {
			t.Errorf("%d batches after the first was refused", n)
		}
	}
}

func TestBatchWithTheStoreDown(t *testing.T) {
	fake := awsfake.New(t)
	fake.Answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		awsfake.Fail(w, 500, "InternalServiceError", canary)
		return true
	}
	asked := keys(many("b/", 1000)...)
	for i, r := range open(t, options(fake)).GetBatch(t.Context(), asked) {
		wantErr(t, r.Err, secret.ErrUnavailable, "")
		if !strings.Contains(r.Err.Error(), asked[i].Path) {
			t.Fatalf("%q does not name %q", r.Err, asked[i].Path)
		}
	}
	if n := len(fake.Calls()); n > 40 {
		t.Errorf("%d calls to a store that is down", n)
	}
}

func TestBatchCancelled(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range store.GetBatch(ctx, keys(many("b/", 30)...)) {
		wantErr(t, r.Err, ctx.Err(), "")
	}
}

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/secret"
)

func testNotFound(t *testing.T, store secret.Store) {
	for _, path := range []string{"storetest/nothing", "storetest", "storetest/nothing/below"} {
		_, _, err := store.Get(t.Context(), path, "")
		wantErr(t, "getting "+path, err, secret.ErrNotFound, path)
	}
	_, _, err := store.Get(t.Context(), "storetest/nothing", "1")
	wantErr(t, "getting a version of nothing", err, secret.ErrNotFound, "storetest/nothing")
}

func testValues(t *testing.T, store secret.Store) {
	for name, value := range map[string][]byte{
		"one-byte":       {'x'},
		"newline":        []byte("line one\nline two\n"),
		"crlf":           []byte("a\r\nb\r\n"),
		"spaces":         []byte("  padded\t "),
		"nul":            []byte("a\x00b\x00"),
		"invalid-utf8":   {0xff, 0xfe, 0x80, 0xc3, 0x28},
		"json":           []byte(`{"client_id":"a","client_secret":"ü \u0000"}`),
		"every-byte":     everyByte(),
		"one-mebibyte":   bytes.Repeat([]byte("0123456789abcdef"), 1<<16),
		"looks-like-b64": []byte("aGVsbG8="),
	} {
		path := "storetest/" + name
		put(t, store, path, value)
		got, _ := get(t, store, path, "")
		if got != string(value) {
			t.Errorf("%s: %d bytes came back different (%d bytes)", path, len(value), len(got))
		}
	}
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func testOwnership(t *testing.T, store secret.Store) {
	put(t, store, "storetest/mine", []byte("canary"))
	value, _, err := store.Get(t.Context(), "storetest/mine", "")
	if err != nil {
		t.Fatal(err)
	}
	copy(value.Reveal(), "xxxxxx") // nobody should, and nobody else may see it
	if got, _ := get(t, store, "storetest/mine", ""); got != "canary" {
		t.Errorf("a caller's write to its own value is seen by the next: %q", got)
	}
}

func testCancelled(t *testing.T, store secret.Store) {
	put(t, store, "storetest/here", []byte("value"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"Get": func() error { _, _, err := store.Get(ctx, "storetest/here", ""); return err },
	}
	if w, ok := store.(secret.Writer); ok {
		calls["Put"] = func() error {
			_, err := w.Put(ctx, "storetest/here", secret.NewValue([]byte("new")))
			return err
		}
		calls["Rollback"] = func() error { _, err := w.Rollback(ctx, "storetest/here", "1"); return err }
		calls["Delete"] = func() error { return w.Delete(ctx, "storetest/here") }
	}
	if l, ok := store.(secret.Lister); ok {
		calls["List"] = func() error { _, err := l.List(ctx, "storetest/"); return err }
		calls["History"] = func() error { _, err := l.History(ctx, "storetest/here"); return err }
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, context.Canceled) || errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%s under a cancelled context: got %v, want context.Canceled alone", name, err)
		}
	}
	if got, _ := get(t, store, "storetest/here", ""); got != "value" {
		t.Errorf("a cancelled change took place: %q", got)
	}
}

func testConcurrent(t *testing.T, store secret.Store) {
	put(t, store, "storetest/shared", []byte("value 0"))
	const callers, rounds = 4, 8
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for round := range rounds {
				if w, ok := store.(secret.Writer); ok && caller == 0 {
					if _, err := w.Put(t.Context(), "storetest/shared",
						secret.NewValue(fmt.Appendf(nil, "value %d", round))); err != nil {
						t.Errorf("putting: %v", err)
					}
				}
				value, _, err := store.Get(t.Context(), "storetest/shared", "")
				if err != nil || !strings.HasPrefix(string(value.Reveal()), "value ") {
					t.Errorf("reading while another writes: %d bytes, %v", value.Len(), err)
				}
			}
		})
	}
	wg.Wait()
}

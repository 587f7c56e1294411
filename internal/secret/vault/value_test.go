package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"

	"sallyport/internal/secret"
	"sallyport/internal/secret/vault"
)

// memory keeps one map of KV version 2 as Vault does: decoded with numbers of 64 bits, and encoded again.
type memory struct {
	mu   sync.Mutex
	data map[string]any
}

func (m *memory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	metadata := map[string]any{"version": 1, "created_time": "2026-01-02T03:04:05Z"}
	answer := map[string]any{"data": map[string]any{"data": m.data, "metadata": metadata}}
	if r.Method == http.MethodPost {
		var body struct{ Data map[string]any }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		m.data = body.Data
		answer = map[string]any{"data": metadata}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// FuzzValues holds that every value comes back: byte by byte, or as an equal JSON object.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{
		"x", "\x00\xff", `{"a":"b"}`, ` {"b":1.0,"a":[{}]}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"value":"eA==","encoding":"base64"}`,
		`{"n":1e400}`, `{"n":-0}`, `{"":null}`, `{"a":"\u2028<&>"}`, `{`, `{}x`, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/sys/internal/ui/mounts/", says(200, mounted2))
	mux.Handle("/v1/secret/data/s", &memory{})
	server := httptest.NewServer(mux)
	f.Cleanup(server.Close)
	store := open(f, vault.Options{Address: server.URL, Token: fixed("t")})
	f.Fuzz(func(t *testing.T, value []byte) {
		_, err := store.Put(t.Context(), "secret/s", secret.NewValue(value))
		if len(value) == 0 {
			if err == nil {
				t.Error("an empty value was taken")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := store.Get(t.Context(), "secret/s", "")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Reveal(), value) && !sameObject(got.Reveal(), value) {
			t.Errorf("%q came back as %q", value, got.Reveal())
		}
	})
}

// sameObject tells whether a and b are JSON objects with the same content, numbers written alike.
func sameObject(a, b []byte) bool {
	x, okX := object(a)
	y, okY := object(b)
	return okX && okY && reflect.DeepEqual(x, y)
}

func object(b []byte) (map[string]any, bool) {
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, false
	}
	_, err := dec.Token()
	return m, errors.Is(err, io.EOF)
}

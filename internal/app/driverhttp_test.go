package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
	"sallyport/internal/rotation/run"
)

// issuer is an API that makes keys for who has the administrator's credential, and serves who has one of them.
type issuer struct {
	*httptest.Server

	mu     sync.Mutex
	keys   map[string]string // value by id
	labels map[string]string
	broken bool // it serves nobody with a new key
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{keys: map[string]string{"k0": "canary-of-before"}, labels: map[string]string{}}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !strings.HasPrefix(r.URL.Path, "/admin/keys") {
		for id, value := range i.keys {
			if value == bearer && (id == "k0" || !i.broken) {
				_, _ = fmt.Fprintln(w, "fine")
				return
			}
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if bearer != "canary-of-admin" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodPost:
		var body struct{ Name string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		id := fmt.Sprintf("k%d", len(i.keys))
		i.keys[id], i.labels[id] = "canary-of-"+id, body.Name
		_, _ = fmt.Fprintf(w, `{"id": %q, "name": %q, "token": %q}`, id, body.Name, i.keys[id])
	case http.MethodDelete:
		delete(i.keys, filepath.Base(r.URL.Path))
	default:
		list := []map[string]string{}
		for id := range i.keys {
			list = append(list, map[string]string{"id": id, "name": i.labels[id]})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": list})
	}
}

const ofIssuer = `about: Keys of the issuer
label: {}
create:
  call: POST /admin/keys
  json: {name: "{label}"}
  key: {id: /id, label: /name}
  value: {at: /token}
list:
  call: GET /admin/keys
  items: /keys
  key: {id: /id, label: /name}
delete:
  call: DELETE /admin/keys/{key}
`

// TestDriverCallsThroughTheGate: a driver of kind http makes keys with a credential that only the gate has. One that
// works becomes current, and one that does not is deleted again.
func TestDriverCallsThroughTheGate(t *testing.T) {
	for _, broken := range []bool{false, true} {
		api := newIssuer(t)
		api.broken = broken
		file := filepath.Join(t.TempDir(), "issuer.yaml")
		if err := os.WriteFile(file, []byte(ofIssuer), 0o600); err != nil {
			t.Fatal(err)
		}
		service := "{upstream: '" + api.URL + "', allow_private: [127.0.0.1/32], secret: ref+builtin://"
		b := newBed(t, func(string) string {
			return listen + "services:\n  crm: " + service + "crm}\n  crm-admin: " + service + "admin}\nrotations:\n" +
				"  crm:\n    secret: ref+builtin://crm\n    test: {service: crm, path: /me}\n" +
				"    driver: {kind: http, file: '" + file + "', service: crm-admin}\n"
		})
		b.put("crm", "canary-of-before")
		b.put("admin", "canary-of-admin")
		gate := b.serve()
		e, err := gate.SecretRotations().Rotate(t.Context(), "crm", run.Request{Actor: "test"}, nil)
		want, keys := run.StateWaiting, 2 // for the grace time of the old key
		if broken {
			want, keys = run.StateRolledBack, 1
		}
		api.mu.Lock()
		if e.State != want || (err != nil) != broken || len(api.keys) != keys || e.OldKey != "k0" {
			t.Errorf("broken %t: state %q (%v), keys %d, old key %q", broken, e.State, err, len(api.keys), e.OldKey)
		}
		api.mu.Unlock()
		b.get(gate.GatewayURL()+"/s/crm/x").is(t, 200, "fine")
		shown := b.log.String() + fmt.Sprint(e, err)
		if broken {
			shown += caredFor(t, b, api, e)
		}
		if strings.Contains(shown, "canary-of-") {
			t.Errorf("a value is shown: %s", shown)
		}
	}
}

// caredFor leaves a key of the run that was taken back at the API, tries the driver and sweeps, as the commands do. It
// returns what they show.
func caredFor(t *testing.T, b *bed, api *issuer, e run.Entry) string {
	t.Helper()
	c, _, err := config.LoadHead(app.Kinds(), b.path)
	if err != nil {
		t.Fatal(err)
	}
	runs := app.OpenRuns(c)
	tried, err := runs.Rehearse(t.Context(), "crm")
	if err == nil || len(tried.Steps) != 4 || tried.Steps[2].Failure == "" || tried.Steps[3].Failure != "" {
		t.Errorf("the driver was tried: %+v (%v)", tried, err)
	}
	api.mu.Lock()
	api.broken = false
	if len(api.keys) != 1 {
		t.Errorf("a try leaves %v", api.labels)
	}
	api.keys["k9"], api.labels["k9"] = "canary-of-k9", "sallyport-crm-"+e.ID
	api.mu.Unlock()
	good, err := runs.Rehearse(t.Context(), "crm")
	if err != nil || len(good.Steps) != 4 {
		t.Errorf("the driver was tried: %+v (%v)", good, err)
	}
	shown := fmt.Sprint(tried, good)
	for _, fix := range []bool{false, true} {
		report, err := runs.Sweep(t.Context(), "crm", fix)
		if err != nil || len(report.Orphans) != 1 || !report.Orphans[0].Safe || report.Orphans[0].Removed != fix {
			t.Errorf("fix %t: %+v (%v)", fix, report, err)
		}
		shown += fmt.Sprint(report)
	}
	if _, err := runs.Sweep(t.Context(), "crn", true); err == nil {
		t.Error("a rotation that is not there was swept")
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if len(api.keys) != 1 || api.keys["k0"] == "" {
		t.Errorf("the sweep left %v", api.labels)
	}
	return shown
}

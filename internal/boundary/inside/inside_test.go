package inside_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/app"
	"sallyport/internal/audit"
	"sallyport/internal/boundary/inside"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// book is the audit log of a test.
type book struct {
	mu   sync.Mutex
	full error
	list []string // what is on record, in order
}

func (b *book) Authorise(_ context.Context, ev *audit.Event) error {
	if b.full != nil {
		return b.full
	}
	b.add("authorised", ev)
	return nil
}

func (b *book) Complete(ev *audit.Event) { b.add("completed", ev) }
func (b *book) Refuse(ev *audit.Event)   { b.add("refused", ev) }

func (b *book) add(what string, ev *audit.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, fmt.Sprint(what, " ", ev.Label, " ", ev.Workflow, " ", ev.Execution, " ", ev.Node, " ",
		ev.Service, " ", ev.Method, " ", ev.Secrets))
}

const canary = "canary-of-the-pending-version"

// bench is an API, and calls of it with the canary as its credential.
type bench struct {
	*book

	t    *testing.T
	api  *httptest.Server
	seen []*http.Request
	log  bytes.Buffer
}

func newBench(t *testing.T, answer http.HandlerFunc) *bench {
	b := &bench{book: new(book), t: t}
	b.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r.Clone(context.Background()))
		b.list = append(b.list, "called")
		b.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(b.api.Close)
	return b
}

// do makes a call of service api, configured with more.
func (b *bench) do(more string, methods []string, req *http.Request) (status int, body string, err error) {
	b.t.Helper()
	c, _, err := config.Parse(app.Kinds(), "sallyport.yaml", []byte("services:\n  api:\n    upstream: "+b.api.URL+
		"/base\n    allow_private: [127.0.0.1/32]\n    secret: ref+builtin://x\n"+more), os.ReadFile)
	if err != nil {
		b.t.Fatal(err)
	}
	trial := inside.Trial{
		Name: "api", Service: c.Services["api"],
		Held: func(secret.Ref) (secret.Result, error) {
			return secret.Result{Value: secret.NewValue([]byte(canary)), Version: secret.Version{ID: "pending"}}, nil
		},
	}
	resp, err := trial.Do(b.t.Context(), &inside.Caller{
		Audit: b, Log: slog.New(slog.NewTextHandler(&b.log, nil)), Now: time.Now,
		Label: "rotation", Workflow: "rotation crm", Execution: "run-1", Node: "test", Methods: methods,
	}, req)
	if err != nil {
		return 0, "", err
	}
	text, readErr := io.ReadAll(resp.Body)
	if readErr != nil {
		b.t.Error(readErr)
	}
	return resp.StatusCode, string(text) + fmt.Sprint(resp.Header), nil
}

func request(t *testing.T, method, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCall: a call is on record before it is made, as that of the rotation, has the credential, and nothing of the
// token that stands for a caller's; what the caller of this package forges of either is not sent.
func TestCall(t *testing.T) {
	b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintln(w, "you sent", r.Header.Get("Authorization"))
	})
	req := request(t, http.MethodGet, "/me?x=1")
	req.Header.Set("Authorization", "Bearer forged")
	req.Header.Set("X-Sallyport-Workflow", "forged")
	status, body, err := b.do("", nil, req)
	if err != nil || status != http.StatusOK || !strings.Contains(body, "you sent Bearer ") ||
		strings.Contains(body, canary) {
		t.Errorf("got %d %q (%v)", status, body, err)
	}
	const who = " rotation rotation crm run-1 test api GET "
	if len(b.list) != 3 || !strings.HasPrefix(b.list[0], "authorised"+who) || !strings.Contains(b.list[0], "pending") ||
		b.list[1] != "called" || !strings.HasPrefix(b.list[2], "completed"+who) {
		t.Errorf("on record are %q", b.list)
	}
	got := b.seen[0]
	if got.URL.String() != "/base/me?x=1" || got.Header.Get("Authorization") != "Bearer "+canary {
		t.Errorf("the API got %s with %q", got.URL, got.Header.Get("Authorization"))
	}
	for name, values := range got.Header {
		if strings.HasPrefix(name, "X-Sallyport") || strings.Contains(fmt.Sprint(values), "spt_") {
			t.Errorf("the API got %s: %q", name, values)
		}
	}
}

// TestNoRecordNoCall: what cannot be recorded does not leave, and nobody thinks that it did.
func TestNoRecordNoCall(t *testing.T) {
	b := newBench(t, func(http.ResponseWriter, *http.Request) {})
	b.full = errors.New("the disk is full")
	_, _, err := b.do("", nil, request(t, http.MethodGet, "/me"))
	own, ok := errors.AsType[*inside.Error](err)
	if !ok || own.Code != fault.AuditUnavailable || own.Sent || len(b.seen) != 0 {
		t.Errorf("got %v, the API was called %d times", err, len(b.seen))
	}
}

// TestRefused: what the service's rules or the caller's methods do not allow is refused before it leaves, by any way of
// naming a method or a path.
func TestRefused(t *testing.T) {
	b := newBench(t, func(http.ResponseWriter, *http.Request) {})
	override := request(t, http.MethodGet, "/me")
	override.Header.Set("X-HTTP-Method-Override", "DELETE")
	for what, c := range map[string]struct {
		more    string
		methods []string
		req     *http.Request
	}{
		"a rule":             {"    allow: [GET /me]\n", nil, request(t, http.MethodDelete, "/me")},
		"a method":           {"", []string{"GET"}, request(t, http.MethodPost, "/me")},
		"a method override":  {"", []string{"GET"}, override},
		"a path that climbs": {"", nil, request(t, http.MethodGet, "/../../admin")},
		"a hidden climb":     {"", nil, request(t, http.MethodGet, "/x/%2e%2e/%2e%2e/admin")},
	} {
		_, _, err := b.do(c.more, c.methods, c.req)
		if own, ok := errors.AsType[*inside.Error](err); !ok || own.Sent {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if len(b.seen) != 0 {
		t.Errorf("the API was called %d times", len(b.seen))
	}
}

// TestAnswers: an API's own failure is its answer; what is no whole answer is an error, of which it is known that the
// call may have been made. No answer and no error has the value.
func TestAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed")
	}))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		status int // 0: an error
	}{
		"a refusal": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Proxy-Status", "sallyport; error=http_request_denied")
			http.Error(w, "no such key: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}, http.StatusUnauthorized},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/?"+r.Header.Get("Authorization"), http.StatusFound)
		}, 0},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			for range 9 << 20 / 4096 {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 4096)); err != nil {
					return
				}
			}
		}, 0},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			_, _ = fmt.Fprint(w, "a part")
		}, 0},
	} {
		b := newBench(t, c.answer)
		status, body, err := b.do("", nil, request(t, http.MethodGet, "/me"))
		if status != c.status {
			t.Errorf("%s: got %d (%v), want %d", name, status, err, c.status)
		}
		if own, ok := errors.AsType[*inside.Error](err); c.status == 0 && (!ok || !own.Sent || own.Code == "") {
			t.Errorf("%s: got %v", name, err)
		}
		if all := body + fmt.Sprint(err) + b.log.String(); strings.Contains(all, canary) {
			t.Errorf("%s: the value is in %q", name, all)
		}
	}
}

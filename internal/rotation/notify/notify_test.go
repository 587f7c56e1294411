package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/rotation/notify"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

// canary stands for a secret, and hidden for the part of a webhook's address that is one.
const (
	canary = "canary-5b1f0c7e"
	hidden = "T000-B000-canary-of-the-address"
)

// receiver is a webhook that answers with what it is told to, and then with 200.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	bodies  []string
	paths   []string
}

func newReceiver(t *testing.T, answers ...func(http.ResponseWriter)) *receiver {
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.bodies, r.paths = append(r.bodies, string(body)), append(r.paths, req.URL.Path)
		var answer func(http.ResponseWriter)
		if len(r.answers) > 0 {
			answer, r.answers = r.answers[0], r.answers[1:]
		}
		r.mu.Unlock()
		if answer != nil {
			answer(w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func status(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func header(code int, name, value string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set(name, value)
		w.WriteHeader(code)
	}
}

// got is what the receiver was sent.
func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.bodies...)
}

func (r *receiver) hook(name string, kinds ...run.NoticeKind) notify.Hook {
	return notify.Hook{
		Name: name, Kinds: kinds, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		URL: func(context.Context) (secret.Value, error) {
			return secret.NewValue([]byte(r.URL + "/services/" + hidden)), nil
		},
	}
}

// sender is a Sender whose waits take no time, with what became of each notice.
type sender struct {
	*notify.Sender

	mu    sync.Mutex
	waits []time.Duration
	ends  []error
	log   bytes.Buffer
}

func start(t *testing.T, hooks ...notify.Hook) *sender {
	s := &sender{}
	s.Sender = notify.Start(t.Context(), notify.Options{
		Hooks: func(run.Notice) []notify.Hook { return hooks }, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Clean: func(text string) string { return strings.ReplaceAll(text, canary, "[redacted]") },
		Now:   func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
		Ended: func(_ string, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ends = append(s.ends, err)
		},
		Wait: func(_ context.Context, d time.Duration) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.waits = append(s.waits, d)
			return nil
		},
	})
	return s
}

// close waits until all is delivered, and looks for secrets in what was logged.
func (s *sender) close(t *testing.T) {
	t.Helper()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{canary, hidden} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has a secret:\n%s", s.log.String())
		}
	}
	for _, err := range s.ends {
		if err != nil && strings.Contains(err.Error(), hidden) {
			t.Errorf("an error has the address: %v", err)
		}
	}
}

func waiting(text string) run.Notice {
	return run.Notice{
		Kind: run.NoticeWaiting, Rotation: "crm", Run: "r1", State: run.StateWaiting, Step: run.StepRetire, Text: text,
		Hint: "run each of them", Alert: true,
	}
}

// TestMessage: text is for people, in Slack's form and not as its markup; the rest is for programs.
func TestMessage(t *testing.T) {
	r := newReceiver(t)
	s := start(t, r.hook("ops"))
	s.Notify(t.Context(), waiting("<!channel> & Orders used "+canary))
	s.close(t)
	got := r.got()
	if len(got) != 1 {
		t.Fatalf("got %q", got)
	}
	var m struct {
		Text      string
		Sallyport struct {
			Kind, Rotation, Run, State, Step, Text, Hint string
			Alert                                        bool
			Time                                         time.Time
		}
	}
	if err := json.Unmarshal([]byte(got[0]), &m); err != nil {
		t.Fatal(err)
	}
	if want := "[action needed] &lt;!channel&gt; &amp; Orders used [redacted]\nrun each of them"; m.Text != want {
		t.Errorf("got %q, want %q", m.Text, want)
	}
	if o := m.Sallyport; o.Kind != "waiting" || o.Rotation != "crm" || o.Run != "r1" || o.State != "waiting" ||
		o.Step != "retire" || o.Text != "<!channel> & Orders used [redacted]" || !o.Alert || o.Time.Year() != 2026 {
		t.Errorf("got %+v", o)
	}
	if strings.Contains(got[0], canary) {
		t.Error("the message has the secret")
	}
}

// TestAgain: what may go better is tried again, later each time and not before the webhook wants it; what cannot is
// dropped. Either is counted, and an outage is logged once.
func TestAgain(t *testing.T) {
	r := newReceiver(t, status(500), status(502), header(429, "Retry-After", "60"))
	s := start(t, r.hook("ops"))
	s.Notify(t.Context(), waiting("one"))
	s.close(t)
	if got := r.got(); len(got) != 4 || got[0] != got[3] {
		t.Errorf("got %q", got)
	}
	if want := []time.Duration{2 * time.Second, 4 * time.Second, time.Minute}; !equal(s.waits, want) {
		t.Errorf("waited %v, want %v", s.waits, want)
	}
	if len(s.ends) != 1 || s.ends[0] != nil {
		t.Errorf("ended with %v", s.ends)
	}

	r = newReceiver(t, status(404), status(404), status(200), status(404))
	s = start(t, r.hook("ops"))
	for _, text := range []string{"one", "two", "three", "four"} {
		s.Notify(t.Context(), waiting(text))
	}
	s.close(t)
	if got := r.got(); len(got) != 4 || len(s.waits) != 0 {
		t.Errorf("got %d calls, waited %v", len(got), s.waits)
	}
	if n := strings.Count(s.log.String(), "does not take notices"); n != 2 {
		t.Errorf("two outages were logged %d times:\n%s", n, s.log.String())
	}
	if n := strings.Count(s.log.String(), "again"); n != 1 {
		t.Errorf("one recovery was logged %d times", n)
	}

	always := make([]func(http.ResponseWriter), 20)
	for i := range always {
		always[i] = status(503)
	}
	r = newReceiver(t, always...)
	s = start(t, r.hook("ops"))
	s.Notify(t.Context(), waiting("one"))
	s.close(t)
	if got := r.got(); len(got) != 8 || s.ends[0] == nil {
		t.Errorf("tried %d times, ended with %v", len(got), s.ends)
	}
}

func equal(a, b []time.Duration) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestGuard: a webhook leads to no address that its configuration does not allow, and nowhere by a redirect.
func TestGuard(t *testing.T) {
	inside := newReceiver(t)
	shut := inside.hook("shut")
	shut.AllowPrivate = nil
	outside := newReceiver(t, header(302, "Location", inside.URL+"/admin"))
	s := start(t, shut, outside.hook("redirects"))
	s.Notify(t.Context(), waiting("one"))
	s.close(t)
	if got := inside.got(); len(got) != 0 {
		t.Errorf("it was called: %q", got)
	}
	if len(s.ends) != 2 || s.ends[0] == nil || s.ends[1] == nil || len(s.waits) != 0 {
		t.Errorf("ended with %v, waited %v", s.ends, s.waits)
	}
	if !strings.Contains(s.log.String(), "loopback") {
		t.Errorf("the log does not say why:\n%s", s.log.String())
	}
	for _, address := range []string{
		"", "ftp://h/" + hidden, "https:///" + hidden, "https://u:" + hidden + "@h/", "http://[::1" + hidden,
		"http://169.254.169.254/" + hidden, "https://h:99999/" + hidden, "http://h\x00/" + hidden,
	} {
		hook := inside.hook("odd")
		hook.URL = func(context.Context) (secret.Value, error) { return secret.NewValue([]byte(address)), nil }
		s := start(t, hook)
		s.Notify(t.Context(), waiting("one"))
		s.close(t)
		if len(s.ends) != 1 || s.ends[0] == nil {
			t.Errorf("%q: ended with %v", address, s.ends)
		}
	}
}

// TestStoreAway: while the address cannot be read, it is tried again.
func TestStoreAway(t *testing.T) {
	r := newReceiver(t)
	hook, n := r.hook("ops"), 0
	read := hook.URL
	hook.URL = func(ctx context.Context) (secret.Value, error) {
		if n++; n < 3 {
			return secret.Value{}, errors.New("the store is away")
		}
		return read(ctx)
	}
	s := start(t, hook)
	s.Notify(t.Context(), waiting("one"))
	s.close(t)
	if len(r.got()) != 1 || len(s.waits) != 2 {
		t.Errorf("got %q after %v", r.got(), s.waits)
	}
}

// TestOneDoesNotKeepTheOthers: a webhook that hangs keeps neither the rotation nor another webhook waiting; its queue
// is bounded, and the oldest notices go.
func TestOneDoesNotKeepTheOthers(t *testing.T) {
	began, leave := make(chan struct{}), make(chan struct{})
	hangs := newReceiver(t, func(http.ResponseWriter) {
		close(began)
		<-leave
	})
	arrived := make(chan struct{})
	works := newReceiver(t, func(http.ResponseWriter) { close(arrived) })
	s := start(t, hangs.hook("hangs", run.NoticeFailed), works.hook("works", run.NoticeDone))
	failed := func(text string) run.Notice { return run.Notice{Kind: run.NoticeFailed, Text: text} }
	s.Notify(t.Context(), failed("first"))
	<-began
	for range 150 {
		s.Notify(t.Context(), failed("dropped"))
	}
	s.Notify(t.Context(), failed("last"))
	s.Notify(t.Context(), run.Notice{Kind: run.NoticeDone, Text: "done"})
	<-arrived
	close(leave)
	s.close(t)
	got := hangs.got()
	if len(got) != 101 || !strings.Contains(got[100], "last") {
		t.Errorf("got %d notices", len(got))
	}
	dropped := 0
	for _, err := range s.ends {
		if err != nil {
			dropped++
		}
	}
	if dropped != 51 {
		t.Errorf("%d notices were counted as dropped, want 51", dropped)
	}
}

// TestCloseEnds: a webhook that hangs does not keep the gate from stopping.
func TestCloseEnds(t *testing.T) {
	began, leave := make(chan struct{}), make(chan struct{})
	r := newReceiver(t, func(http.ResponseWriter) {
		close(began)
		<-leave
	})
	defer close(leave)
	s := start(t, r.hook("ops"))
	s.Notify(t.Context(), waiting("one"))
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Notify(t.Context(), waiting("too late"))
	if got := r.got(); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

// TestKinds: without a list a webhook is sent what someone has to act on, and that it is done.
func TestKinds(t *testing.T) {
	all := []run.NoticeKind{
		run.NoticeBegan, run.NoticeDone, run.NoticeFailed, run.NoticeRolledBack, run.NoticeAborted, run.NoticeStuck,
		run.NoticeWaiting, run.NoticeLeft, run.NoticeApproval,
	}
	usual, some := newReceiver(t), newReceiver(t)
	s := start(t, usual.hook("usual"), some.hook("some", run.NoticeBegan, run.NoticeAborted))
	for _, kind := range all {
		s.Notify(t.Context(), run.Notice{Kind: kind, Text: string(kind)})
	}
	s.close(t)
	if got := len(usual.got()); got != len(all)-2 {
		t.Errorf("got %d notices", got)
	}
	if got := some.got(); len(got) != 2 || !strings.Contains(got[0], "began") || !strings.Contains(got[1], "aborted") {
		t.Errorf("got %q", got)
	}
}

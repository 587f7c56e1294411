// Package notify delivers the notices of rotations to webhooks: Slack's and all that take its JSON, and receivers that
// read the fields beside it.
//
// Each webhook has a queue and a worker of its own, so that one that does not answer keeps no other waiting, and no
// rotation either: Notify returns at once. A notice is tried again for a while and then dropped; a rotation never
// depends on it, and `rotation status` shows the same.
//
// Its calls leave as the gate's do: over package egress, whose dialer checks the address after DNS, with no proxy of
// the environment and no redirect. A webhook's URL is a secret: it is in no error and in no log.
//
// Invariant: what a webhook is sent has no secret: texts go through Options.Clean, and nothing else is taken from
// outside.
package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/pause"
	"sallyport/internal/rotation/run"
	"sallyport/internal/secret"
)

const (
	// queued is how many notices wait for one webhook; the oldest goes when there are more.
	queued = 100
	// tries is how often a notice is sent at most. With the waits between them that is some 20 minutes.
	tries     = 8
	firstWait = 2 * time.Second // doubled each time
	lastWait  = 10 * time.Minute
	// callTimeout bounds one call.
	callTimeout = 15 * time.Second
)

// Hook is one webhook.
type Hook struct {
	Name string
	// URL reads its address, which is a secret. It is read for each call, so that a rotated one counts at once.
	URL          func(ctx context.Context) (secret.Value, error)
	Kinds        []run.NoticeKind // that it is sent; empty: those that someone has to act on, and done
	AllowPrivate []netip.Prefix   // addresses that are not public and may be called all the same
	Roots        *x509.CertPool   // whom it trusts for TLS; nil: the system's
}

func (h *Hook) wants(kind run.NoticeKind) bool {
	if len(h.Kinds) == 0 {
		return kind.Alerts() || kind == run.NoticeDone
	}
	return slices.Contains(h.Kinds, kind)
}

// Options are what a Sender needs.
type Options struct {
	// Hooks are those that a notice is for, by the active configuration. One name is one webhook.
	Hooks func(n run.Notice) []Hook
	Clean func(string) string              // takes secrets out of a text; nil leaves it as it is
	Own   func() *egress.Own               // where this process listens, which is never called; may be nil
	Ended func(rotation string, err error) // is told of each notice that was delivered, or dropped with why; may be nil
	Broke func(why *fault.Panic)           // is told of a panic; may be nil
	Log   *slog.Logger                     // of failures, once for each outage
	Now   func() time.Time                 // nil is time.Now
	// between two attempts; nil is pause.For
	Wait func(context.Context, time.Duration) error
}

// Sender delivers notices. It is safe for concurrent use. It implements run.Notifier.
type Sender struct {
	o       Options
	stop    context.CancelFunc
	working guard.Group
	begin   func(l *line) // working on a line

	mu     sync.Mutex
	lines  map[string]*line // by the webhook's name
	closed bool
}

// Start begins to deliver. Close ends it.
func Start(ctx context.Context, o Options) *Sender {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = pause.For
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Sender{o: o, stop: stop, lines: make(map[string]*line)}
	s.begin = func(l *line) {
		s.working.Go("a webhook", func() { guard.Loop(ctx, "calling a webhook", l.deliver, s.broke) })
	}
	return s
}

// line is that of a webhook, as the configuration has it now. nil: nothing is taken any more.
func (s *Sender) line(hook Hook) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	l := s.lines[hook.Name]
	if l == nil {
		l = &line{o: &s.o, more: make(chan struct{}, 1)}
		s.lines[hook.Name] = l
		s.begin(l)
	}
	return l
}

func (s *Sender) broke(why *fault.Panic) {
	if s.o.Broke != nil {
		s.o.Broke(why)
	}
}

// Notify implements run.Notifier.
func (s *Sender) Notify(_ context.Context, n run.Notice) {
	if s.o.Clean != nil {
		n.Text, n.Hint = s.o.Clean(n.Text), s.o.Clean(n.Hint)
	}
	var body []byte
	for _, hook := range s.o.Hooks(n) {
		if !hook.wants(n.Kind) {
			continue
		}
		if body == nil {
			body = encode(n, s.o.Now())
		}
		if l := s.line(hook); l != nil {
			l.put(notice{hook, n.Rotation, body})
		}
	}
}

// Close waits until all is delivered or ctx has ended, and drops what is left.
func (s *Sender) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for _, l := range s.lines {
		l.close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	guard.Go("closing webhooks", func() {
		defer close(done)
		s.working.Wait()
	}, s.broke)
	defer s.stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.stop()
		<-done
		return fmt.Errorf("delivering notices of rotations: %w", context.Cause(ctx))
	}
}

// message is what a webhook gets. Slack and its like read text alone.
type message struct {
	Text string `json:"text"`
	Ours ours   `json:"sallyport"`
}

type ours struct {
	run.Notice

	Time time.Time `json:"time"`
}

// Marks begin the text, so that a person sees in a list what needs an answer.
const (
	markAlert = "[action needed] "
	markPlain = "[info] "
)

func encode(n run.Notice, now time.Time) []byte {
	mark := markPlain
	if n.Alert {
		mark = markAlert
	}
	m := message{Text: mark + escaped(n.Text), Ours: ours{Notice: n, Time: now.UTC()}}
	if n.Hint != "" {
		m.Text += "\n" + escaped(n.Hint)
	}
	body, err := json.Marshal(m)
	if err != nil { // only a time beyond the year 9999
		body = []byte(`{"text":"a notice of a rotation could not be written"}`)
	}
	return body
}

// tlsConfig is nil for plain HTTP.
func (h *Hook) tlsConfig(scheme string) *tls.Config {
	if scheme != "https" {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: h.Roots}
}

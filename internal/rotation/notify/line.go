package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// notice is one that waits, with where it goes.
type notice struct {
	hook     Hook
	rotation string
	body     []byte
}

// line is one webhook with what waits for it.
type line struct {
	o    *Options
	more chan struct{} // something is in the queue, or the line is closed

	mu     sync.Mutex
	queue  []notice
	closed bool
	down   bool // the last delivery failed, which is logged already
}

func (l *line) put(n notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if len(l.queue) == queued {
		l.ended(l.queue[0].rotation, errors.New("the queue is full"))
		l.queue = l.queue[1:]
	}
	l.queue = append(l.queue, n)
	l.wake()
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

func (l *line) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// next takes a notice out of the queue. ok is false when the line is closed and empty, or ctx has ended.
func (l *line) next(ctx context.Context) (n notice, ok bool) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			n, l.queue = l.queue[0], l.queue[1:]
			l.mu.Unlock()
			return n, ctx.Err() == nil
		}
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return notice{}, false
		}
		select {
		case <-l.more:
		case <-ctx.Done():
			return notice{}, false
		}
	}
}

// deliver works until the line is closed.
func (l *line) deliver(ctx context.Context) {
	for {
		n, ok := l.next(ctx)
		if !ok {
			return
		}
		err := l.send(ctx, n)
		l.mu.Lock()
		l.ended(n.rotation, err)
		down := l.down
		l.down = err != nil
		l.mu.Unlock()
		switch {
		case err != nil && !down:
			l.o.Log.WarnContext(ctx, "a webhook does not take notices of rotations; what it misses is counted",
				"webhook", n.hook.Name, "error", err, "hint", fault.HintOf(err))
		case err == nil && down:
			l.o.Log.InfoContext(ctx, "a webhook takes notices of rotations again", "webhook", n.hook.Name)
		}
	}
}

func (l *line) ended(rotation string, err error) {
	if l.o.Ended != nil {
		l.o.Ended(rotation, err)
	}
}

// send tries until the webhook takes the notice, refuses it, or has had enough tries.
func (l *line) send(ctx context.Context, one notice) error {
	wait := firstWait
	for n := 1; ; n++ {
		again, after, err := l.once(ctx, one)
		if err == nil || !again || n == tries {
			return err
		}
		if stopped := l.o.Wait(ctx, min(max(wait, after), lastWait)); stopped != nil {
			return errors.Join(err, stopped)
		}
		wait *= 2
	}
}

// once is one call. again tells that another may go better, after that time at the earliest.
func (l *line) once(ctx context.Context, n notice) (again bool, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	value, err := n.hook.URL(ctx)
	if err != nil {
		return true, 0, fmt.Errorf("reading the address of webhook %q: %w", n.hook.Name, err)
	}
	to, err := parse(string(value.Reveal()))
	if err != nil {
		return false, 0, fmt.Errorf("reading the address of webhook %q: %w", n.hook.Name, err)
	}
	transport, err := egress.New(egress.Options{
		Host: to.Hostname(), Port: portOf(to), Named: "the webhook " + n.hook.Name, AllowPrivate: n.hook.AllowPrivate,
		Own: l.o.Own, TLS: n.hook.tlsConfig(to.Scheme), ResponseHeader: callTimeout, MaxIdle: 1,
	})
	if err != nil {
		return false, 0, fmt.Errorf("calling webhook %q: its address cannot be dialled", n.hook.Name)
	}
	defer transport.CloseIdle()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(n.body))
	if err != nil {
		return false, 0, fmt.Errorf("calling webhook %q: its address is malformed", n.hook.Name) // err quotes it
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Sallyport")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		f := egress.Classify(err)
		if f.Code == fault.DestinationProhibited {
			f = f.WithHint("if the address is yours, name it in `notify_private` of the rotation")
		}
		return f.Code != fault.DestinationProhibited, 0, fault.WithHint(
			fmt.Errorf("calling webhook %q: %s", n.hook.Name, f.Message), f.Hint)
	}
	return n.judge(resp)
}

// judge says what an answer means. Its text is not quoted: it is another's.
func (n notice) judge(resp *http.Response) (again bool, after time.Duration, err error) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what comes after that is of no interest either
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return false, 0, nil
	}
	err = fault.WithHint(fmt.Errorf("calling webhook %q: it answered %d", n.hook.Name, resp.StatusCode),
		"look whether its address is still the right one")
	seconds, failed := strconv.Atoi(resp.Header.Get("Retry-After"))
	if failed == nil && seconds > 0 {
		after = time.Duration(min(seconds, int(lastWait/time.Second))) * time.Second
	}
	return resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusRequestTimeout, after, err
}

// parse reads a webhook's address. No error quotes it.
func parse(text string) (*url.URL, error) {
	to, err := url.Parse(strings.TrimSpace(text))
	switch {
	case err != nil:
		return nil, errors.New("it is no URL")
	case to.Scheme != "https" && to.Scheme != "http":
		return nil, errors.New("it has to begin with https://, or http:// for one nearby")
	case to.Hostname() == "":
		return nil, errors.New("it names no host")
	case to.User != nil:
		return nil, errors.New("it has a user in it, which is not supported")
	}
	to.Fragment = ""
	return to, nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// escaped keeps a text from being read as Slack's markup, in which <!channel> calls everybody.
func escaped(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

package wayout

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"sallyport/internal/program"
)

// try is one thing to try.
type try struct {
	to     string
	family string // "4", "6", or "": what is closed for one says nothing about another
	known  bool   // to is known to respond
	absent bool   // where nothing responds, nothing is there: a metadata service
	do     func(ctx context.Context) (saw string, err error)
}

// Errors of an attempt that got somewhere and has still not shown that anything left.
var (
	errBlocked = errors.New("something on the way refused it")
	errDoubt   = errors.New("what came back does not show that anything left")
	errNoName  = errors.New("the name does not resolve here")
)

// noted is one of these errors with what was seen.
type noted struct {
	error
	saw string
}

func (n noted) Error() string { return n.saw }
func (n noted) Unwrap() error { return n.error }

// try makes one attempt, within its time.
func (s *scene) try(ctx context.Context, w way, t try) Attempt {
	a := Attempt{To: t.to, Status: Unclear}
	if ctx.Err() != nil {
		a.Saw = "not tried: the time was over"
		return a
	}
	within, stop := context.WithTimeout(ctx, s.Timeout)
	defer stop()
	began := time.Now()
	saw, err := t.do(within)
	if ctx.Err() != nil && err != nil {
		a.Saw = "broken off: the time was over"
		return a
	}
	known := t.known || s.reached(w.id, t.to)
	a.Status, a.Saw = judge(err, known, t.absent)
	if err == nil {
		a.Saw = saw + " after " + time.Since(began).Round(time.Millisecond).String()
	}
	a.Saw, a.silent = program.Clean(a.Saw), a.Status == Unclear && err != nil && timedOut(err)
	return a
}

// reached tells whether the run from outside got there.
func (s *scene) reached(id, to string) bool {
	if s.Baseline == nil {
		return false
	}
	for _, p := range s.Baseline.Probes {
		if p.ID != id {
			continue
		}
		for _, a := range p.Attempts {
			if a.To == to {
				return a.Status == Open
			}
		}
	}
	return false
}

// judge says what an attempt shows. What the kernel or a router says is the wall's; silence and a refused connection
// are the wall's only where the other side is known to respond.
func judge(err error, known, absent bool) (Status, string) {
	quiet := func(saw, unless string) (Status, string) {
		if known || absent {
			return Closed, saw
		}
		return Unclear, saw + ": " + unless
	}
	var n noted
	switch {
	case err == nil:
		return Open, ""
	case errors.Is(err, errBlocked):
		return Closed, err.Error()
	case errors.As(err, &n):
		return Unclear, n.saw
	case is(err, syscall.EPERM, syscall.EACCES):
		return Closed, "the kernel refuses to send it (" + reason(err) + ")"
	case is(err, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT):
		return Closed, "there is no route (" + reason(err) + ")"
	case is(err, syscall.EHOSTUNREACH):
		return Closed, "an ICMP message came back (" + reason(err) + ")"
	case is(err, syscall.ECONNREFUSED):
		return quiet("refused (RST or ICMP port unreachable)",
			"a wall does that, and so does a host without this service, which would mean that it got out")
	case is(err, syscall.ECONNRESET, syscall.EPIPE):
		return Unclear, "connected, and then reset: something took the connection"
	case timedOut(err):
		return quiet("no response in time",
			"a wall that drops shows that, and so does a host without this service")
	}
	return Unclear, err.Error()
}

// Shows says what a TCP connection that did not come about shows, where nothing else is known of the other side, and
// what was seen, as a clean line.
func Shows(err error) (Status, string) {
	status, saw := judge(err, false, false)
	return status, program.Clean(saw)
}

func is(err error, those ...syscall.Errno) bool {
	for _, one := range those {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// reason is the kernel's own words.
func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}

func timedOut(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.ETIMEDOUT) || errors.As(err, &t) && t.Timeout()
}

// family is that of an address, as in try.
func family(a netip.Addr) string {
	if a.Unmap().Is4() {
		return "4"
	}
	return "6"
}

// dial opens a connection that ends with ctx.
func dial(ctx context.Context, network, to string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, to)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// connect is a handshake, and the end of the connection.
func connect(network, to string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		conn, err := dial(ctx, network, to)
		if err != nil {
			return "", err
		}
		return "connected", conn.Close()
	}
}

// resend is how long a response to a datagram is waited for until it is sent once more.
const resend = time.Second

// exchange sends a datagram, and once more, and returns the first that comes back and is taken for a response.
func exchange(ctx context.Context, to string, packet []byte, taken func([]byte) (string, error)) (string, error) {
	conn, err := dial(ctx, "udp", to)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	last, _ := ctx.Deadline()
	buffer := make([]byte, 4<<10)
	for _, until := range []time.Time{earlier(time.Now().Add(resend), last), last} {
		if _, err = conn.Write(packet); err != nil {
			return "", err
		}
		if err = conn.SetReadDeadline(until); err != nil {
			return "", err
		}
		n := 0
		if n, err = conn.Read(buffer); err == nil {
			return taken(buffer[:n])
		}
		if !timedOut(err) {
			return "", err
		}
	}
	return "", err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/audit/sink"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// Greatest lengths of RFC 5424, section 6.
const (
	maxHostname = 255
	maxProcID   = 128
	maxMsgID    = 32
)

// maxSequence is the greatest sequenceId (RFC 5424, section 7.3.1); after it comes 1.
const maxSequence = 2147483647

// server implements sink.Sink. Each batch has a connection of its own: syslog has no answer, and that the server has
// read everything and closed its side is the only thing that it ever says.
type server struct {
	address   string
	tls       *tls.Config
	host, app string
	facility  int
	lenient   bool // the end of the connection is enough
}

// Ship implements sink.Sink.
func (s *server) Ship(ctx context.Context, batch []sink.Item) error {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return s.failed(ctx, "connecting to", err)
	}
	below := &endConn{Conn: raw}
	defer raw.Close() //nolint:errcheck // what counts was said before
	conn := tls.Client(below, s.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		return s.failed(ctx, "connecting to", err)
	}
	done := make(chan struct{})
	watching := guard.Group{}
	watching.Go("watching a batch", func() {
		select {
		case <-ctx.Done():
			_ = raw.SetDeadline(time.Now())
		case <-done:
		}
	})
	defer watching.Wait()
	defer close(done)
	var out []byte
	for i := range batch {
		out = s.frame(out, &batch[i])
	}
	if _, err := conn.Write(out); err != nil {
		return s.failed(ctx, "writing to", err)
	}
	if err := s.finish(conn, below); err != nil {
		return s.failed(ctx, "waiting until everything was read by", err)
	}
	return nil
}

// finish says that nothing more comes, and waits until the server says the same by a close_notify, which it must (RFC
// 5425, section 4.4): then it has read everything. The end of the TCP connection alone says less: it is in order only
// if the kernel had nothing left to read, but something in between may have read it.
func (s *server) finish(conn *tls.Conn, below *endConn) error {
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(conn, 1))
	switch {
	case n > 0:
		return errSpeaks
	case err == nil && below.ended && !s.lenient:
		return errEnded
	}
	return err
}

// endConn knows whether the TCP connection has ended, which crypto/tls does not tell from a close_notify.
type endConn struct {
	net.Conn

	ended bool
}

// Read implements net.Conn.
func (c *endConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ended = c.ended || err != nil
	return n, err
}

// errEnded means that the server may have read everything, or not.
var errEnded = errors.New("it ended the connection without a close_notify")

var errSpeaks = errors.New("it said something, which no syslog server does")

// failed is an error with what to do.
func (s *server) failed(ctx context.Context, doing string, err error) error {
	hint := "look whether it runs, and whether this machine may connect to it"
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errSpeaks):
		hint = "look at the address: it has to be that of a server for syslog over TLS"
	case errors.As(err, &untrusted):
		hint = "name its CA in ca_file, and reach it by a name that its certificate has"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		hint = "it ended the connection before it had read everything: look at its log, and whether it wants cert_file"
	case errors.Is(err, errEnded):
		hint = "look at its log, and whether it wants cert_file; if it has all records and is a server that never " +
			"sends a close_notify, write acknowledge: close"
	case ctx.Err() != nil:
		err, hint = context.Cause(ctx), "it is slow; a longer timeout, or a smaller batch, gives it more time"
	}
	return fault.WithHint(fmt.Errorf("%s syslog server %s: %w", doing, s.address, err), hint)
}

// Close implements sink.Sink.
func (*server) Close() error { return nil }

// frame appends a message, with its length before it (RFC 5425, section 4.3).
func (s *server) frame(out []byte, item *sink.Item) []byte {
	msg := s.message(nil, item)
	out = strconv.AppendInt(out, int64(len(msg)), 10)
	return append(append(out, ' '), msg...)
}

// message appends one (RFC 5424, section 6). PROCID is the log's id, sequenceId the record's number. MSG is JSON
// without a byte order mark, which many servers would hand on as a part of it.
func (s *server) message(out []byte, item *sink.Item) []byte {
	kind := "checkpoint"
	if item.Event.Kind != "" {
		kind = string(item.Event.Kind)
	}
	out = fmt.Appendf(out, "<%d>1 %s %s %s %s %s [meta sequenceId=\"%d\"] ", s.facility*8+severity(&item.Event),
		item.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, s.app, header(item.Log, maxProcID),
		header(kind, maxMsgID), (item.Seq-1)%maxSequence+1)
	return append(out, item.Text...)
}

// Severities of RFC 5424, section 6.2.1.
const (
	severityError   = 3
	severityWarning = 4
	severityNotice  = 5
	severityInfo    = 6
)

// severity is how much an operator has to care.
func severity(ev *audit.Event) int {
	switch {
	case ev.Kind == audit.KindRecovered:
		return severityError
	case ev.Kind == audit.KindRefused, ev.Code != "":
		return severityWarning
	case ev.Kind == audit.KindAdmin:
		return severityNotice
	}
	return severityInfo
}

// header is a text as a field of the header takes it; "-" where there is none.
func header(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '_'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

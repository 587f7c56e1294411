package boundary

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
)

// CloseUpgraded breaks off every WebSocket that is still open, and those that open from now on. Call it when draining
// has taken long enough.
func (p *Pipeline) CloseUpgraded() {
	p.noUpgrades.Store(true)
	p.live.each(func(e *entry) {
		if e.conn != nil {
			e.end(stopping())
		}
	})
}

func stopping() *fault.Fault {
	return fault.New(fault.Draining, "this Sallyport is stopping, and breaks off what is still open")
}

// upgrade joins caller and API after 101 Switching Protocols (RFC 9110 section 15.2.2). What the API sends is scrubbed;
// masks keep their length, so frames stay whole.
func (p *Pipeline) upgrade(w http.ResponseWriter, r *http.Request, resp *http.Response, x *exchange) error {
	api, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !isUpgrade(r) || len(resp.Header["Upgrade"]) != 1 ||
		!strings.EqualFold(resp.Header["Upgrade"][0], "websocket") {
		return fault.New(fault.UpstreamMalformed, "it switched protocols in a way that cannot be carried on")
	}
	h := make(http.Header)
	x.scrubbed += returnHeader(h, resp.Header, x.service, x.material.Forms())
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, resp.Header["Upgrade"]
	delete(h, "Sec-Websocket-Extensions") // none was asked for: a compressed stream could not be scrubbed
	spellWebSocket(h)
	h["Proxy-Status"], h[headerRequestID] = []string{receivedStatus(resp.StatusCode)}, []string{x.event.ID}
	if p.noUpgrades.Load() {
		return stopping()
	}
	if err := x.leave(); err != nil {
		return err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("taking over the connection: %w", err)
	}
	x.status = resp.StatusCode
	defer func() { _ = conn.Close() }()
	if strict, ok := conn.(interface{ Raw() bool }); ok && !strict.Raw() || rw.Reader.Buffered() > 0 {
		return fault.New(fault.RequestMalformed, "the caller did not wait for the WebSocket handshake to be answered")
	}
	if err := switchProtocols(rw.Writer, h); err != nil {
		return clientError{err}
	}
	if err := x.upgraded(conn); err != nil {
		return err
	}
	if p.noUpgrades.Load() { // since the handshake was answered
		return stopping()
	}
	return p.join(conn, rw.Reader, api, x)
}

// join copies both ways until either side ends, and then ends the other. It returns when neither is copied any more,
// also when one of the two ends in a panic.
func (p *Pipeline) join(conn net.Conn, fromCaller io.Reader, api io.ReadWriteCloser, x *exchange) error {
	var wg guard.Group
	var broken error
	wg.Go("relaying to the API", func() {
		defer func() { _ = api.Close() }()
		defer fault.Recover("relaying to the API", &broken)
		broken = p.forward(api, fromCaller, x)
	})
	defer wg.Wait()
	defer func() { _, _ = api.Close(), conn.Close() }()
	p.relay(conn, api, x)
	_, _ = api.Close(), conn.Close()
	wg.Wait()
	return broken
}

// relay scrubs what the API sends, message by message, however those are cut into frames. A tail that may be the
// beginning of a secret is held until more comes, save for the first bytes of one, which a silent peer would otherwise
// wait for.
func (p *Pipeline) relay(conn net.Conn, api io.Reader, x *exchange) {
	frames := x.material.Forms().Frames()
	defer func() { x.scrubbed += frames.Count() }()
	bp, ok := chunks.Get().(*[]byte)
	if !ok {
		return
	}
	defer chunks.Put(bp)
	var out []byte
	for {
		n, err := api.Read(*bp)
		out = out[:0]
		var broken error
		if n > 0 {
			out, broken = frames.Write(out, (*bp)[:n])
		}
		if errors.Is(err, io.EOF) && broken == nil {
			out = frames.Flush(out)
		}
		m, werr := conn.Write(out)
		x.bytesOut += int64(m)
		if broken != nil {
			x.code, x.detail = fault.UpstreamMalformed, "what the API sent after the switch to WebSocket is not what "+
				"was agreed on"
		}
		if err != nil || werr != nil || broken != nil {
			return
		}
	}
}

// forward copies what the caller of a WebSocket sends, up to where the token would be complete.
func (p *Pipeline) forward(api io.Writer, caller io.Reader, x *exchange) error {
	frames := p.watches.of(x.presented).ClientFrames(tokenLend)
	bp, ok := chunks.Get().(*[]byte)
	if !ok {
		return fault.New(fault.Internal, "the buffer pool is broken")
	}
	defer chunks.Put(bp)
	var out []byte
	for {
		n, err := caller.Read(*bp)
		x.bytesIn.Add(int64(n))
		var broken error
		out, broken = frames.Write(out[:0], (*bp)[:n])
		if _, werr := api.Write(out); werr != nil && broken == nil {
			return panicIn(werr)
		}
		switch {
		case errors.Is(broken, scrub.ErrFound):
			return tokenLeaves("a message")
		case broken != nil:
			return fault.New(fault.RequestMalformed,
				"what the caller sent after the switch to WebSocket is not what was agreed on")
		case err != nil:
			return panicIn(err)
		}
	}
}

// panicIn is the panic in err's chain, or nil: whichever way a relay ends otherwise, the connections end with it.
func panicIn(err error) error {
	if why, ok := errors.AsType[*fault.Panic](err); ok {
		return why
	}
	return nil
}

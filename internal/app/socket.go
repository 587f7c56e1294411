package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// errNoGate tells that no gate runs on this data directory.
var errNoGate = errors.New("no gate is running here")

// socketName is the control socket in the data directory, which only its owner can enter.
const socketName = "control.sock"

// maxReply bounds what the gate says to a command, in bytes: a line on each of 10,000 services fits in.
const maxReply = 16 << 20

// control is the commands' side of the socket.
type control struct{ data string }

// dial connects to the gate, which has to be one of this user or of root. Where no gate can be it is errNoGate.
func (c control) dial(ctx context.Context) (net.Conn, error) {
	dir, err := localfile.OpenDir(c.data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoGate
	}
	if err != nil {
		return nil, err
	}
	conn, err := dir.DialUnix(ctx, socketName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		err = errNoGate
	}
	return conn, errors.Join(err, dir.Close())
}

// post tells the gate something and waits until it has acted.
func (c control) post(ctx context.Context, path string, body any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing a message to the running gate: %w", err)
	}
	_, err = c.call(ctx, http.MethodPost, path, payload)
	return err
}

// gateway asks the gate where its gateway listens.
func (c control) gateway(ctx context.Context) (*url.URL, error) {
	answer, err := c.call(ctx, http.MethodGet, "/gateway", nil)
	if err != nil {
		return nil, err
	}
	return url.Parse(string(answer))
}

// call makes one call. Without a gate it is errNoGate.
func (c control) call(ctx context.Context, method, path string, payload []byte) ([]byte, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://gate"+path, bytes.NewReader(payload))
	if err != nil {
		return nil, fmt.Errorf("calling the running gate: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(err, errNoGate) {
			return nil, errNoGate
		}
		return nil, fmt.Errorf("calling the running gate: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fault.WithHint(fmt.Errorf("the running gate answered: %s", bytes.TrimSpace(answer)),
			"its log and /readyz tell more")
	}
	return answer, nil
}

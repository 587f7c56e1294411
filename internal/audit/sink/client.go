package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sallyport/internal/fault"
)

// Client posts batches: what sinks that speak HTTP have in common. It reads no proxy from the environment and follows
// no redirect, which could lead records to where nobody has sent them.
type Client struct {
	http *http.Client
}

// maxResponse bounds what is read of a response, in bytes.
const maxResponse = 64 << 10

// NewClient returns a Client with this TLS.
func NewClient(config *tls.Config) *Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &Client{&http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the environment is not read
			DialContext:            dialer.DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    10 * time.Second,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxResponse,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Response is what a receiver answered with success.
type Response struct {
	Header http.Header
	Body   []byte // at most 64 KiB of it
}

// Do sends req. The error quotes neither the response's body, which is another's text, nor a header.
func (c *Client) Do(ctx context.Context, req *http.Request) (Response, error) {
	if c == nil {
		return Response{}, errors.New("the sink is not open")
	}
	resp, err := c.http.Do(req.WithContext(ctx)) //nolint:gosec // the operator names the receiver
	if err != nil {
		return Response{}, unreachable(ctx, req.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return Response{}, unreachable(ctx, req.URL, err)
	}
	if err := judge(resp); err != nil {
		return Response{Header: resp.Header, Body: body}, err
	}
	return Response{Header: resp.Header, Body: body}, nil
}

// HTTP is the client as net/http has it.
func (c *Client) HTTP() *http.Client { return c.http }

// CloseIdle lets go of connections.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// errNoHTTP is in place of the errors of net/http that quote what has come, which may be the token, sent back.
var errNoHTTP = errors.New("what came back is no HTTP response")

// own tells whether an error is of this machine, of TLS, or an end of the connection: none of them quotes the receiver.
func own(err error) bool {
	_, network := errors.AsType[net.Error](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return network || record || untrusted || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}

// unreachable is why there is no response. The error of net/http quotes the URL, which is the operator's own.
func unreachable(ctx context.Context, to *url.URL, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	hint := "look whether it runs, and whether this machine may connect to it"
	if ctx.Err() == nil && !own(err) {
		err, hint = errNoHTTP, "look at the address: something else answers there"
	}
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		hint = "name its CA in ca_file"
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("it took longer than the sink's timeout")
		hint = "look at its load; a longer timeout, or a smaller batch, gives it more time"
	}
	return fault.WithHint(fmt.Errorf("posting to %s: %w", to.Host, err), hint)
}

// judge says what a status means.
func judge(resp *http.Response) error {
	status := resp.StatusCode
	if status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("posting to %s: it answered %d", resp.Request.URL.Host, status)
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w", err, ErrTooLarge)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.WithHint(err, "look at the token that the sink names, and at what it may do there")
	case status/100 == 3:
		return fault.WithHint(err, "redirects are not followed: write the address that it leads to")
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return fault.WithHint(err, "look at the path of the address")
	case status == http.StatusTooManyRequests, status/100 == 5:
		err = fault.WithHint(err, "it is overloaded, or does not work; records wait in the log meanwhile")
	default:
		return fault.WithHint(err, "it does not take what is sent: look at its log, and at the sink's form and format")
	}
	seconds, failed := strconv.Atoi(resp.Header.Get("Retry-After"))
	if failed == nil && seconds > 0 {
		return &WaitError{After: min(time.Duration(min(seconds, 1<<20))*time.Second, longestWait), Err: err}
	}
	return err
}

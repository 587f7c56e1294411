package kubeapi

import (
	"errors"
	"io"
	"net/http"
)

// maxAnswer bounds one response of the API server, in bytes, after decompression. A Secret has at most 1 MiB; a page of
// a list has 500 at most, and those are metadata. client-go has no bound of its own: a server that does not end takes
// all memory.
const maxAnswer = 64 << 20

var errAnswerTooLarge = errors.New("the API server's response is larger than 64 MiB")

// bounded ends responses that are too large. A watch that has come so far begins again.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// WrappedRoundTripper lets Close find the connections.
func (b *bounded) WrappedRoundTripper() http.RoundTripper { return b.next }

type boundedBody struct {
	io.ReadCloser

	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errAnswerTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

package kubeapi

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }

func (endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{Body: endless{}}, nil
}

// TestAnswerIsBounded: a server that does not end its answer costs no more than the bound.
func TestAnswerIsBounded(t *testing.T) {
	b := &bounded{endless{}}
	resp, err := b.RoundTrip(new(http.Request))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if n != maxAnswer || !errors.Is(err, errAnswerTooLarge) {
		t.Errorf("got %d bytes and %v, want %d and an error", n, err, maxAnswer)
	}
}

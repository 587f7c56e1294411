package egress_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"sallyport/internal/boundary/egress"
)

// slow is a connection whose Write tells that the bytes have left before it returns.
type slow struct {
	net.Conn
	left, told chan struct{}
	err        error
}

func (s *slow) Write(p []byte) (int, error) {
	close(s.left)
	<-s.told
	if s.err != nil {
		return 0, s.err
	}
	return len(p), nil
}

func (*slow) Read([]byte) (int, error) { return 0, io.EOF }

// TestSlowWriter: an API may have read a request, acted and ended the connection before Write has returned. It has seen
// the request.
func TestSlowWriter(t *testing.T) {
	for name, err := range map[string]error{"written": nil, "nothing was": errors.New("broken pipe")} {
		t.Run(name, func(t *testing.T) {
			s := &slow{left: make(chan struct{}), told: make(chan struct{}), err: err}
			k := egress.Keep(s)
			if !k.Untouched() {
				t.Error("nothing has been written, and something was")
			}
			done := make(chan struct{})
			go func() { defer close(done); _, _ = k.Write([]byte("DELETE / HTTP/1.1\r\n")) }()
			<-s.left
			_, _ = k.Read(make([]byte, 1))
			if k.Untouched() {
				t.Error("the API may have seen the request, which would be sent again")
			}
			close(s.told)
			<-done
			if got := k.Untouched(); got != (err != nil) {
				t.Errorf("afterwards: untouched is %v", got)
			}
		})
	}
}

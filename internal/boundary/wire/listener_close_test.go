package wire_test

import (
	"errors"
	"net"
	"testing"

	"sallyport/internal/boundary/wire"
)

// TestCloseWhileAccepting: a server that is stopped as it begins leaves nothing behind, in whatever order the two come.
func TestCloseWhileAccepting(t *testing.T) {
	for range 200 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := wire.Listen(tcp, wire.Options{})
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accepting ends with %v", err)
		}
	}
}

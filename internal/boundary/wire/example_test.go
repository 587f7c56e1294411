package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"

	"sallyport/internal/boundary/wire"
)

// A head that two servers could read in two ways never reaches net/http: a stand-in does, and the connection knows why.
func ExampleConn() {
	caller, gate := net.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(caller,
			"POST /s/openai/v1 HTTP/1.1\r\nHost: gate\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n")
		done <- err
	}()
	conn := wire.NewConn(gate, wire.DefaultMaxHead)
	request, err := http.ReadRequest(bufio.NewReader(conn))
	fmt.Println(request.Method, request.URL, err, <-done)
	fmt.Println(conn.Violation())
	// Output:
	// GET /-/refused <nil> <nil>
	// both Content-Length and Transfer-Encoding are given
}

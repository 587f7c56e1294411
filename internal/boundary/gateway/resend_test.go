package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/audit"
)

// TestDeadConnection: a request that the transport sends once more, because the connection that it had kept was dead, reaches its caller, and
// its second use is on record.
func TestDeadConnection(t *testing.T) {
	var sent atomic.Int64
	upstream := hear(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if sent.Add(1); i > 0 {
				return // it saw the request, and says nothing
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	g := newGate(t, api(upstream), options{})
	g.do("GET", "/s/api/first").wantStatus(t, http.StatusOK)
	g.do("GET", "/s/api/second").wantStatus(t, http.StatusOK)
	uses := 0
	for _, r := range g.records() {
		if r.Event == string(audit.KindAuthorised) && r.Path == "/second" {
			if uses++; uses == 2 && !strings.HasPrefix(r.Detail, "sent once more") {
				t.Errorf("got detail %q", r.Detail)
			}
		}
	}
	if uses != 2 || sent.Load() != 3 {
		t.Errorf("the API saw %d requests, and %d uses of the second are on record", sent.Load(), uses)
	}
}

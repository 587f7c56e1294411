package sinktest

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Taken is an item as a receiver has read it.
type Taken struct {
	Seq  int
	Text string
}

// HTTP is a receiver that speaks HTTP over TLS.
type HTTP struct {
	*Receiver

	// Read reads a request as strictly as the protocol says. An error is answered with 400, and fails the test.
	Read func(r *http.Request, body []byte) ([]Taken, error)
	// Done answers with success, Failed with a lie: success, and that it was none.
	Done, Failed func(w http.ResponseWriter)

	t      testing.TB
	server *httptest.Server
	addr   string
}

// Serve begins to serve, until the test ends, and returns the base URL and the file of the CA's certificate.
func (h *HTTP) Serve(t testing.TB) (url, caFile string) {
	t.Helper()
	h.t = t
	h.Receiver = NewReceiver()
	h.Start()
	t.Cleanup(h.Stop)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})
	if err := os.WriteFile(caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return h.server.URL, caFile
}

// Start serves again, at the address of before.
func (h *HTTP) Start() {
	if h.server != nil {
		return
	}
	server := httptest.NewUnstartedServer(h)
	if h.addr != "" {
		_ = server.Listener.Close()
		l, err := new(net.ListenConfig).Listen(h.t.Context(), "tcp", h.addr)
		if err != nil {
			h.t.Fatal(err)
		}
		server.Listener = l
	}
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	h.server, h.addr = server, server.Listener.Addr().String()
}

// Stop is away.
func (h *HTTP) Stop() {
	if h.server == nil {
		return
	}
	h.server.CloseClientConnections()
	h.server.Close()
	h.server = nil
}

// ServeHTTP implements http.Handler.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	taken, err := h.Read(r, body)
	if err != nil {
		h.t.Errorf("the receiver cannot read what it was sent: %v\n%s", err, body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	switch h.Mode() { //nolint:exhaustive // Fine comes after it
	case Refuse:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case Block:
		<-r.Context().Done()
		return
	case Slow:
		w.Header().Set("Content-Length", "100000")
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			wait := time.NewTimer(time.Millisecond)
			select {
			case <-wait.C:
			case <-r.Context().Done():
			}
		}
		return
	case Break:
		panic(http.ErrAbortHandler)
	case Lie:
		h.Failed(w)
		return
	case TooLarge:
		if len(taken) > TooLargeAt {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
	}
	for _, one := range taken {
		h.Keep(one.Seq, one.Text)
	}
	h.Done(w)
}

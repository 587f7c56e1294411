package app_test

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// badAPI is an API that is well, and others beside it that are not.
type badAPI struct {
	*httptest.Server

	tls             *httptest.Server
	garbage, resets string // addresses
	nobody          string // on which nothing listens
	ca              string // file of the CA of tls
	t               *testing.T
}

func newBadAPI(t *testing.T) *badAPI {
	b := &badAPI{Server: httptest.NewServer(http.HandlerFunc(badly)), t: t}
	b.tls = httptest.NewUnstartedServer(http.HandlerFunc(badly))
	b.tls.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it says so
	b.tls.StartTLS()
	t.Cleanup(b.Close)
	t.Cleanup(b.tls.Close)
	b.garbage = speaker(t, "this is no HTTP\r\n\r\n")
	b.resets = speaker(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.nobody = l.Addr().String()
	_ = l.Close()
	b.ca = filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.tls.Certificate().Raw})
	if err := os.WriteFile(b.ca, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// speaker accepts connections, reads a head, says a text, and hangs up.
func speaker(t *testing.T, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				if text == "" {
					_ = c.(*net.TCPConn).SetLinger(0)
				}
				_, _ = c.Write([]byte(text))
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// badly answers as the first part of the path says: a status, or a name.
func badly(w http.ResponseWriter, r *http.Request) {
	how := strings.Split(r.URL.Path, "/")[1]
	if status, err := strconv.Atoi(how); err == nil {
		w.WriteHeader(status)
		return
	}
	switch how {
	case "silent":
		<-r.Context().Done()
	case "half":
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(make([]byte, 10))
		panic(http.ErrAbortHandler)
	case "stalls":
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(make([]byte, 40000))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "away":
		w.Header().Set("Location", "https://elsewhere.example/x")
		w.WriteHeader(http.StatusFound)
	case "coded":
		w.Header().Set("Content-Encoding", "exi")
		_, _ = w.Write([]byte("x"))
	case "invalid_client":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error": "invalid_client"}`)
	case "token":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "a-token", "token_type": "Bearer", "expires_in": 3600}`)
	case "lies":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"ok": false, "error": "server_error"}`)
	default:
		fmt.Fprint(w, "fine")
	}
}

// fill puts the addresses into a service.
func (b *badAPI) fill(text string) string {
	return strings.NewReplacer("$API", b.URL, "$TLS", b.tls.URL, "$GARBAGE", "http://"+b.garbage, "$RESETS",
		"http://"+b.resets, "$NOBODY", "http://"+b.nobody, "$PLAIN", strings.Replace(b.URL, "http:", "https:", 1),
		"$CA", b.ca, "$LOCAL", "allow_private: [127.0.0.1/32], circuit: {failures: 0}",
		"$KEY", "credential: {kind: bearer, secret: ref+builtin://crm}").Replace(text)
}

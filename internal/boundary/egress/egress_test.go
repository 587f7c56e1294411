package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// secretQuery is what no message may ever quote.
const secretQuery = "?api_key=CANARY-51H8xAbCd"

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// transport builds a Transport for a test server's address, which is allowed.
func transport(t *testing.T, rawURL string, change func(*egress.Options)) *egress.Transport {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	o := egress.Options{Host: u.Hostname(), Port: u.Port(), AllowPrivate: loopback}
	if change != nil {
		change(&o)
	}
	tr, err := egress.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdle)
	return tr
}

func get(t *testing.T, tr *egress.Transport, rawURL string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rawURL+secretQuery, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return tr.RoundTrip(req)
}

// wantFault checks the class of an error that RoundTrip gave, and what the fault says.
func wantFault(t *testing.T, got *fault.Fault, code fault.Code, details string) {
	t.Helper()
	if got == nil {
		t.Fatalf("no fault, want %s", code)
	}
	if got.Code != code || !strings.Contains(got.Details, details) {
		t.Errorf("got %s (%q), want %s (%q); cause: %v", got.Code, got.Details, code, details, errors.Unwrap(got))
	}
	if got.Message == "" || got.Hint == "" {
		t.Errorf("%s says %q with hint %q", got.Code, got.Message, got.Hint)
	}
	for _, text := range []string{got.Message, got.Details, got.Hint, got.Error()} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("%s quotes the query: %q", got.Code, text)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "as sent; "+r.Header.Get("Accept-Encoding")+";"+r.Header.Get("X"))
	}))
	defer api.Close()
	tr := transport(t, api.URL, nil)
	for range 3 {
		resp, err := get(t, tr, api.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "as sent; ;" {
			t.Errorf("body %q, %v", body, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRoundTripTLS(t *testing.T) {
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	api.EnableHTTP2 = true
	api.StartTLS()
	defer api.Close()
	for _, h2 := range []bool{false, true} {
		tr := transport(t, api.URL, func(o *egress.Options) { o.TLS, o.HTTP2 = trusting(api), h2 })
		resp, err := get(t, tr, api.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]; string(body) != want {
			t.Errorf("spoke %s, want %s", body, want)
		}
	}
}

func trusting(api *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(api.Certificate())
	return &tls.Config{RootCAs: pool}
}

func TestNoRedirect(t *testing.T) {
	api := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/elsewhere", http.StatusFound))
	defer api.Close()
	resp, err := get(t, transport(t, api.URL, nil), api.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("status %d, want the redirect itself", resp.StatusCode)
	}
}

// TestProhibited proves that the server sees no connection, not merely no request.
func TestProhibited(t *testing.T) {
	ln, accepted := listen(t)
	u := "http://" + ln.Addr().String()
	tr := transport(t, u, func(o *egress.Options) {
		o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	})
	_, err := get(t, tr, u)
	wantFault(t, egress.Classify(err), fault.DestinationProhibited, "loopback")
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections reached the prohibited address", n)
	}
}

// listen accepts and counts connections on loopback.
func listen(t *testing.T) (ln net.Listener, accepted *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln, accepted
}

func TestOtherDestinations(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer api.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer secure.Close()
	plain := transport(t, "http://127.0.0.1:1", nil)
	encrypted := transport(t, secure.URL, func(o *egress.Options) { o.TLS = trusting(secure) })
	tests := []struct {
		name string
		tr   *egress.Transport
		url  string
	}{
		{"another port", plain, api.URL},
		{"another host", plain, "http://127.0.0.2:1"},
		{"default port", plain, "http://127.0.0.1"},
		{"https for http", plain, "https://127.0.0.1:1"},
		{"http for https", encrypted, strings.Replace(secure.URL, "https", "http", 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := get(t, tt.tr, tt.url); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestDefaultPort reaches the dialer with a URL that leaves the port out.
func TestDefaultPort(t *testing.T) {
	for _, tt := range []struct{ host, port, url string }{
		{"127.0.0.1", "80", "http://127.0.0.1"},
		{"127.0.0.1", "80", "http://127.0.0.1:80"},
		{"127.0.0.1", "443", "https://127.0.0.1"},
		{"::1", "443", "https://[::1]"},
		{"LOCALHOST", "443", "https://localhost:443"},
	} {
		o := egress.Options{Host: tt.host, Port: tt.port}
		if strings.HasPrefix(tt.url, "https") {
			o.TLS = &tls.Config{}
		}
		tr, err := egress.New(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = get(t, tr, tt.url)
		wantFault(t, egress.Classify(err), fault.DestinationProhibited, "loopback")
	}
}

func TestNewRefuses(t *testing.T) {
	hosts := []string{
		"", "2130706433", "0x7f.1", "0x7f000001", "017700000001", "127.1", "010.0.0.1", "1.2.3.4.", "1.2.3.256", "example.0x",
		"fe80::1%eth0", "[::1]", "a b", "a/b", "user@host", "host:80", "host?", "h\x00", "%31",
	}
	for _, host := range hosts {
		if _, err := egress.New(egress.Options{Host: host, Port: "80"}); err == nil {
			t.Errorf("host %q is taken", host)
		}
	}
	for _, host := range []string{
		"api.example.com", "api.example.com.", "localhost", "1.2.3.4", "::1", "4chan.org",
		"xn--bcher-kva.example", "a_b.example", "1e100.net",
	} {
		if _, err := egress.New(egress.Options{Host: host, Port: "80"}); err != nil {
			t.Errorf("host %q is refused: %v", host, err)
		}
	}
	for _, port := range []string{"", "0", "65536", "http", "-1", "080", "+80"} {
		if _, err := egress.New(egress.Options{Host: "example.com", Port: port}); err == nil {
			t.Errorf("port %q is taken", port)
		}
	}
	if _, err := egress.New(egress.Options{
		Host: "example.com", Port: "443",
		TLS: &tls.Config{InsecureSkipVerify: true},
	}); err == nil {
		t.Error("an unverified certificate is taken")
	}
}

func TestBodyIdle(t *testing.T) {
	release := make(chan struct{})
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	api.EnableHTTP2 = true
	api.StartTLS()
	defer api.Close()
	defer close(release)
	for _, h2 := range []bool{false, true} {
		tr := transport(t, api.URL, func(o *egress.Options) { o.BodyIdle, o.TLS, o.HTTP2 = short, trusting(api), h2 })
		resp, err := get(t, tr, api.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if !strings.HasPrefix("data: one\n\n", string(got)) {
			t.Errorf("before the stall: %q", got)
		}
		wantFault(t, egress.ClassifyBody(err), fault.UpstreamTimeout, "body idle")
		_ = resp.Body.Close()
	}
}

// TestIdleTime counts only the time in which a Read waits.
func TestIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		body := egress.NewIdleBody(slowBody{ctx}, time.Minute, cancel)
		buf := make([]byte, 30)
		for range 3 {
			if _, err := body.Read(buf); err != nil { // waits 30 s
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // the caller is slow
		}
		if ctx.Err() != nil {
			t.Error("a slow caller was taken for a stalled upstream")
		}
		_, err := body.Read(make([]byte, 90)) // would wait 90 s
		wantFault(t, egress.ClassifyBody(err), fault.UpstreamTimeout, "body idle")
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	})
}

// slowBody takes a second per byte that it is asked for.
type slowBody struct{ ctx context.Context } //nolint:containedctx // stands for a request's

func (b slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Duration(len(p)) * time.Second):
		return len(p), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (slowBody) Close() error { return nil }

func TestSwitchingProtocols(t *testing.T) {
	api := rawServer(t, func(conn net.Conn) {
		readHeader(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.CopyN(conn, conn, 4)
	})
	tr := transport(t, api, func(o *egress.Options) { o.BodyIdle = time.Nanosecond })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body is a %T, which can't be written to", resp.Body)
	}
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != "ping" || err != nil {
		t.Errorf("echo %q, %v", got, err)
	}
}

func TestClientLeaves(t *testing.T) {
	arrived := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done() // the upstream is told
	}))
	defer api.Close()
	tr := transport(t, api.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+secretQuery, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.RoundTrip(req)
	wantFault(t, egress.Classify(err), fault.ClientGone, "")
}

// rawServer runs serve on each connection and closes it, and returns its URL.
func rawServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return "http://" + ln.Addr().String()
}

// readHeader reads a request up to the empty line.
func readHeader(conn net.Conn) {
	var got []byte
	buf := make([]byte, 1)
	for !strings.HasSuffix(string(got), "\r\n\r\n") {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		got = append(got, buf[0])
	}
}

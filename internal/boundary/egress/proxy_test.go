package egress_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// fakeProxy speaks CONNECT or SOCKS5, joins what it is asked to, and notes what that was.
type fakeProxy struct {
	url    *url.URL
	user   string // "user:password", or "" for none
	answer string // CONNECT: instead of 200

	mu    sync.Mutex
	asked []string
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, scheme string) *fakeProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &fakeProxy{url: &url.URL{Scheme: scheme, Host: l.Addr().String()}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			p.wg.Go(func() {
				defer c.Close()
				if scheme == "http" {
					p.connect(c)
				} else {
					p.socks(c)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.wg.Wait() })
	return p
}

func (p *fakeProxy) note(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, target)
}

func (p *fakeProxy) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *fakeProxy) connect(c net.Conn) {
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	p.note(req.Host)
	want := ""
	if p.user != "" {
		want = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user))
	}
	switch {
	case req.Header.Get("Proxy-Authorization") != want:
		_, _ = io.WriteString(c, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n")
	case p.answer != "":
		_, _ = io.WriteString(c, p.answer)
	default:
		p.join(c, req.Host, "HTTP/1.1 200 Fine\r\nX-Proxy: yes\r\n\r\n")
	}
}

func (p *fakeProxy) join(c net.Conn, target, greeting string) {
	api, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer api.Close()
	_, _ = io.WriteString(c, greeting)
	go func() { _, _ = io.Copy(api, c); _ = api.Close() }()
	_, _ = io.Copy(c, api)
}

// socks is RFC 1928 as far as the tests need it.
func (p *fakeProxy) socks(c net.Conn) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return
	}
	methods := make([]byte, head[1])
	_, _ = io.ReadFull(c, methods)
	if p.user == "" {
		_, _ = c.Write([]byte{5, 0})
	} else if !p.socksUser(c, methods) {
		return
	}
	req := make([]byte, 4)
	if _, err := io.ReadFull(c, req); err != nil {
		return
	}
	var host string
	switch req[3] {
	case 1:
		b := make([]byte, 4)
		_, _ = io.ReadFull(c, b)
		host = netip.AddrFrom4([4]byte(b)).String()
	case 4:
		b := make([]byte, 16)
		_, _ = io.ReadFull(c, b)
		host = netip.AddrFrom16([16]byte(b)).String()
	default:
		p.note("a name")
		return
	}
	port := make([]byte, 2)
	_, _ = io.ReadFull(c, port)
	target := net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port)))
	p.note(target)
	if p.answer != "" {
		_, _ = c.Write([]byte{5, 2, 0, 1, 0, 0, 0, 0, 0, 0}) // not allowed by ruleset
		return
	}
	p.join(c, target, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
}

func (p *fakeProxy) socksUser(c net.Conn, methods []byte) bool {
	if !strings.Contains(string(methods), "\x02") {
		_, _ = c.Write([]byte{5, 0xff})
		return false
	}
	_, _ = c.Write([]byte{5, 2})
	b := make([]byte, 2)
	_, _ = io.ReadFull(c, b)
	user := make([]byte, int(b[1])+1)
	_, _ = io.ReadFull(c, user)
	password := make([]byte, user[len(user)-1])
	_, _ = io.ReadFull(c, password)
	ok := string(user[:len(user)-1])+":"+string(password) == p.user
	_, _ = c.Write([]byte{1, map[bool]byte{true: 0, false: 1}[ok]})
	return ok
}

func (p *fakeProxy) use(user string) func(*egress.Options) {
	return func(o *egress.Options) {
		o.Proxy = p.url
		if user != "" {
			name, password, _ := strings.Cut(user, ":")
			o.ProxyUser = func() *url.Userinfo { return url.UserPassword(name, password) }
		}
	}
}

// TestProxy goes to plain and TLS upstreams through either kind of proxy, which is asked for an address.
func TestProxy(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		for _, user := range []string{"", "me:pass:word"} {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprint(scheme, " ", user, " ", secure), func(t *testing.T) {
					s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Header.Get("Proxy-Authorization") != "" {
							t.Error("the API got what is the proxy's")
						}
						_, _ = io.WriteString(w, "fine")
					}))
					if secure {
						s.StartTLS()
					} else {
						s.Start()
					}
					defer s.Close()
					p := newProxy(t, scheme)
					p.user = user
					tr := transport(t, s.URL, func(o *egress.Options) {
						p.use(user)(o)
						if secure {
							pool := x509.NewCertPool()
							pool.AddCert(s.Certificate())
							o.TLS = &tls.Config{RootCAs: pool, ServerName: "example.com"}
						}
					})
					resp, err := get(t, tr, s.URL)
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if string(body) != "fine" {
						t.Errorf("got %q", body)
					}
					if got := p.got(); len(got) != 1 || got[0] != s.Listener.Addr().String() {
						t.Errorf("the proxy was asked for %q", got)
					}
				})
			}
		}
	}
}

// TestProxyAddressCheck is a part of invariant 2: through a proxy, too, only what is public or allowed is reached, and
// a name is looked up here: the proxy hears nothing of an address that is refused.
func TestProxyAddressCheck(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		for _, host := range []string{
			"127.0.0.1", "10.0.0.1", "169.254.169.254", "localhost", "::ffff:127.0.0.1",
			"64:ff9b::7f00:1",
		} {
			p := newProxy(t, scheme)
			tr, err := egress.New(egress.Options{Host: host, Port: "80", Proxy: p.url})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
				(&url.URL{Scheme: "http", Host: net.JoinHostPort(host, "80"), Path: "/"}).String(), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if f := egress.Classify(err); f == nil || f.Code != fault.DestinationProhibited {
				t.Errorf("%s, %s: got %v", scheme, host, err)
			}
			if got := p.got(); len(got) != 0 {
				t.Errorf("%s: the proxy was asked for %q", host, got)
			}
			tr.CloseIdle()
		}
	}
}

// TestProxyAtMetadata: a proxy may be anywhere but where clouds hand out credentials.
func TestProxyAtMetadata(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		tr := transport(t, "http://127.0.0.1:9", func(o *egress.Options) {
			o.Proxy = &url.URL{Scheme: scheme, Host: "169.254.169.254:80"}
		})
		_, err := get(t, tr, "http://127.0.0.1:9")
		if _, ok := errors.AsType[*egress.ProhibitedError](err); !ok {
			t.Errorf("%s: got %v", scheme, err)
		}
	}
}

func TestProxyFailure(t *testing.T) {
	const secretUser = "me:CANARY-51H8xAbCd"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	for name, c := range map[string]struct {
		scheme, user, answer, host, want string
	}{
		"http, wrong user": {scheme: "http", user: secretUser, want: "another user"}, "socks5, wrong user": {scheme: "socks5", user: secretUser, want: "another user"},
		"http, refuses": {scheme: "http", answer: "HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!", want: "refused to connect"}, "socks5, refuses": {scheme: "socks5", answer: "x", want: "refused to connect"},
		"http, garbage": {scheme: "http", answer: "SSH-2.0-OpenSSH\r\n\r\n", want: "no proxy's"}, "http, speaks first": {scheme: "http", answer: "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", want: "no proxy's"},
		"http, endless": {scheme: "http", answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), want: "no proxy's"}, "http, hangs up": {scheme: "http", answer: "HTTP/1.1 20", want: "no proxy's"},
		"http, nobody": {scheme: "http", host: nobody, want: "can't be reached"}, "socks5, nobody": {scheme: "socks5", host: nobody, want: "can't be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, c.scheme)
			p.answer = c.answer
			if c.user != "" {
				p.user = "me:another"
			}
			if c.host != "" {
				p.url = &url.URL{Scheme: c.scheme, Host: c.host}
			}
			tr := transport(t, "http://127.0.0.1:9", p.use(c.user))
			_, err := get(t, tr, "http://127.0.0.1:9")
			f := egress.Classify(err)
			if f == nil || f.Code != fault.UpstreamRefused || !strings.Contains(f.Message, c.want) ||
				strings.Contains(fmt.Sprint(err, f, f.Hint), "CANARY") {
				t.Errorf("got %v from %v; want %q", f, err, c.want)
			}
		})
	}
}

// TestProxyHangs: the time for dialling holds for all of the way.
func TestProxyHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"http", "socks5"} {
		tr := transport(t, "http://127.0.0.1:9", func(o *egress.Options) {
			o.Proxy, o.Dial = &url.URL{Scheme: scheme, Host: l.Addr().String()}, 50*time.Millisecond
		})
		_, err := get(t, tr, "http://127.0.0.1:9")
		if f := egress.Classify(err); f == nil || f.Code != fault.UpstreamTimeout {
			t.Errorf("%s: got %v from %v", scheme, f, err)
		}
	}
}

func TestProxyRefused(t *testing.T) {
	for _, bad := range []string{
		"https://proxy:1", "ftp://proxy", "http://me:pw@proxy:1", "http://",
		"socks5h://proxy",
	} {
		u, err := url.Parse(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := egress.New(egress.Options{Host: "example.com", Port: "443", Proxy: u}); err == nil ||
			strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

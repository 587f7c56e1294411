package egress_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
)

// TestMain sets a proxy that no Transport may ask: net/http reads the environment
// once per process.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// nameServer answers every question for an A record with what answer says at that
// moment, and counts the questions.
type nameServer struct {
	conn net.PacketConn

	mu    sync.Mutex
	addrs []netip.Addr
	rcode dnsmessage.RCode
	asked int
}

// newNameServer starts a name server on loopback and returns a resolver that asks
// nothing else.
func newNameServer(t *testing.T) (*nameServer, *net.Resolver) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return s, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

func (s *nameServer) answers(rcode dnsmessage.RCode, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rcode, s.addrs = rcode, nil
	for _, a := range addrs {
		s.addrs = append(s.addrs, netip.MustParseAddr(a))
	}
}

func (s *nameServer) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if err := query.Unpack(buf[:n]); err != nil || len(query.Questions) != 1 {
			continue
		}
		reply, err := s.reply(query)
		if err != nil {
			continue
		}
		_, _ = s.conn.WriteTo(reply, from)
	}
}

func (s *nameServer) reply(query dnsmessage.Message) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	q := query.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, RCode: s.rcode, RecursionAvailable: true},
		Questions: query.Questions,
	}
	for _, a := range s.addrs {
		var body dnsmessage.ResourceBody
		switch {
		case q.Type == dnsmessage.TypeA && a.Is4():
			body = &dnsmessage.AResource{A: a.As4()}
		case q.Type == dnsmessage.TypeAAAA && a.Is6():
			body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		reply.Answers = append(reply.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0}, Body: body,
		})
	}
	return reply.Pack()
}

// TestRebinding has a name that is at an allowed address first, and at others
// when it is looked up again: a decision remembered, or taken on a look-up of its
// own, would let the second request through.
func TestRebinding(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	}))
	defer api.Close()
	u, err := url.Parse(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	names, resolver := newNameServer(t)
	named := "http://api.test:" + u.Port()
	tr := transport(t, named, func(o *egress.Options) { o.Resolver = resolver })

	names.answers(dnsmessage.RCodeSuccess, "127.0.0.1")
	resp, err := get(t, tr, named)
	if err != nil {
		t.Fatalf("the allowed address: %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()

	for addr, class := range map[string]string{
		"127.0.0.2": "loopback", "10.0.0.1": "private", "169.254.169.254": "metadata", "100.64.0.1": "carrier-grade",
		"::ffff:10.0.0.1": "private", "fd00:ec2::254": "metadata", "64:ff9b::7f00:1": "NAT64", "0.0.0.0": "unspecified",
	} {
		tr.CloseIdle() // or the next request would go to the checked connection
		names.answers(dnsmessage.RCodeSuccess, addr)
		_, err := get(t, tr, named)
		wantFault(t, egress.Classify(err), fault.DestinationProhibited, class)
	}
}

func TestDNSFailures(t *testing.T) {
	names, resolver := newNameServer(t)
	const named = "http://api.test:80"
	tr := transport(t, named, func(o *egress.Options) { o.Resolver = resolver })
	for rcode, details := range map[dnsmessage.RCode]string{
		dnsmessage.RCodeNameError:     "no such host",
		dnsmessage.RCodeSuccess:       "no such host", // with no addresses
		dnsmessage.RCodeServerFailure: "dns failure",
	} {
		names.answers(rcode)
		_, err := get(t, tr, named)
		wantFault(t, egress.Classify(err), fault.UpstreamDNS, details)
	}
}

// TestNoLookupForOthers proves that a request which is not the service's resolves
// nothing: a look-up is a message to the outside too.
func TestNoLookupForOthers(t *testing.T) {
	names, resolver := newNameServer(t)
	names.answers(dnsmessage.RCodeSuccess, "127.0.0.1")
	tr := transport(t, "http://api.test:80", func(o *egress.Options) { o.Resolver = resolver })
	for _, other := range []string{
		"http://stolen-data.attacker.test", "http://api.test:81", "https://api.test:80",
		"http://api.test.:80",
	} {
		if _, err := get(t, tr, other); err == nil {
			t.Errorf("%s: no error", other)
		}
	}
	if n := names.questions(); n != 0 {
		t.Errorf("%d questions were asked", n)
	}
}

package monitor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/monitor"
)

// scraped is a server of a page that is larger than what the buffers of connections hold.
type scraped struct {
	*httptest.Server

	began chan struct{} // one scrape has begun
	ended chan struct{} // one has ended
}

func newScraped(t *testing.T, longest time.Duration) *scraped {
	t.Helper()
	s := &scraped{began: make(chan struct{}, 100), ended: make(chan struct{}, 100)}
	page := worked(t, monitor.Size{Services: 300}, allCodes()[:2]).HandlerWithin(longest)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.ServeHTTP(&telling{w, sync.OnceFunc(func() { s.began <- struct{}{} })}, r)
		s.ended <- struct{}{}
	}))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(4096); err != nil {
			t.Error(err)
		}
		return ctx
	}
	s.Start()
	t.Cleanup(s.CloseClientConnections)
	return s
}

// telling tells that an answer has begun: the scrape has its place then.
type telling struct {
	http.ResponseWriter

	began func()
}

func (t *telling) Write(p []byte) (int, error) {
	t.began()
	return t.ResponseWriter.Write(p)
}

func (t *telling) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// hang begins a scrape and reads nothing.
func (s *scraped) hang(t *testing.T) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-s.began
}

// scrape reads a whole page.
func (s *scraped) scrape(t *testing.T) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK && n < 1<<19 {
		t.Errorf("status %d, %d bytes, %v", resp.StatusCode, n, err)
	}
	return resp.StatusCode
}

// TestHangingScrapes: scrapers that do not read hold their places, and no more.
func TestHangingScrapes(t *testing.T) {
	s := newScraped(t, time.Hour)
	for range monitor.ScrapesAtOnce - 1 {
		s.hang(t)
	}
	if got := s.scrape(t); got != http.StatusOK {
		t.Errorf("with one place left: status %d", got)
	}
	<-s.ended
	s.hang(t)
	if got := s.scrape(t); got != http.StatusServiceUnavailable {
		t.Errorf("with no place left: status %d", got)
	}
}

// TestHangingScrapesEnd: their places are free again after a while.
func TestHangingScrapesEnd(t *testing.T) {
	s := newScraped(t, 50*time.Millisecond)
	s.hang(t)
	<-s.ended // by the deadline: nothing else ends it
}

// TestScrapesTogether: many scrapes at once while requests are counted. Each gets a whole page.
func TestScrapesTogether(t *testing.T) {
	size := monitor.Size{Services: 20, Derived: 3, Tokens: 3, Generations: 2, Stores: 2, Rotations: 2, Sinks: 2}
	m := worked(t, size, allCodes())
	var all sync.WaitGroup
	for i := range monitor.ScrapesAtOnce {
		all.Go(func() {
			for range 5 {
				page := scrape(t, m)
				for _, metric := range monitor.Catalogue() {
					if !strings.Contains(page, "\n# TYPE "+metric.Name+" ") {
						t.Errorf("a page has no %s", metric.Name)
					}
				}
			}
		})
		all.Go(func() {
			for range 100 {
				m.Started("x")
				m.ConnectionClosed("total")
				m.Rotates(fmt.Sprint("token-", i))
			}
		})
	}
	all.Wait()
}

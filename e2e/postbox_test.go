package e2e_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"
)

// A postbox is where workflows send the links by which they are to be resumed: people's mail, so to speak. It plays
// Telegram.
type postbox struct {
	*httptest.Server
	links chan string // paths on n8n
}

var resumeLink = regexp.MustCompile(`http://127\.0\.0\.1:\d+(/webhook-waiting/[^"\s]+)`)

func openPostbox(t *testing.T) *postbox {
	t.Helper()
	p := &postbox{links: make(chan string, 10)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		query, _ := url.QueryUnescape(r.URL.RawQuery)
		for _, found := range resumeLink.FindAllStringSubmatch(query+" "+string(body), -1) {
			p.links <- found[1]
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ok":true,"result":{}}`)
	}))
	t.Cleanup(p.Close)
	return p
}

// next is the link that was sent before the execution waited.
func (p *postbox) next(t *testing.T) string {
	t.Helper()
	select {
	case link := <-p.links:
		return link
	default:
		t.Fatal("no link was sent")
		return ""
	}
}

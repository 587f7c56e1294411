package wire

import (
	"bytes"
	"log"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

// warnEvery is how often a listener's complaints are logged, however many there are.
const warnEvery = time.Minute

// ErrorLog is for http.Server.ErrorLog, where net/http writes what it tells nobody else: panics that it recovered,
// connections it could not accept. count gets every one of them with its kind: panic, tls, accept, refused, write or
// other. A warning is logged for the first of each kind, and then at most one a minute, which says how many there were.
// A panic's value, and what net/http may quote of a request, stay out of it.
func ErrorLog(to *slog.Logger, listener string, count func(listener, kind string)) *log.Logger {
	if count == nil {
		count = func(string, string) {}
	}
	return log.New(&complaints{to: to, listener: listener, count: count, kinds: make(map[string]*silence)}, "", 0)
}

type complaints struct {
	to       *slog.Logger
	listener string
	count    func(listener, kind string)

	mu sync.Mutex
	// each by itself: a flood of failed handshakes must not hide that connections cannot be accepted
	kinds map[string]*silence
}

// silence is what was not warned of.
type silence struct {
	last time.Time // of the warning
	n    int       // since then
}

// Write implements io.Writer: one call is one message.
func (c *complaints) Write(p []byte) (int, error) {
	kind, text := judge(string(bytes.TrimSpace(p)))
	c.count(c.listener, kind)
	n := c.due(kind, time.Now())
	switch {
	case n == 0:
	case kind == "accept":
		c.to.Error("Sallyport cannot accept connections, and tries again", "listener", c.listener, "error", text,
			"since_the_last_warning", n,
			"hint", "without free descriptors: raise the limit of open files (ulimit -n, LimitNOFILE), or lower "+
				"`limits.connections`")
	default:
		c.to.Warn("the HTTP server complains", "listener", c.listener, "kind", kind, "what", text,
			"since_the_last_warning", n)
	}
	return len(p), nil
}

// due returns how many messages of a kind the warning that is due now stands for, or 0.
func (c *complaints) due(kind string, now time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.kinds[kind]
	if s == nil {
		s = new(silence)
		c.kinds[kind] = s
	}
	if s.n++; !s.last.IsZero() && now.Sub(s.last) < warnEvery {
		return 0
	}
	n := s.n
	s.last, s.n = now, 0
	return n
}

// prefixes tell net/http's messages apart. Those whose text is safe to show quote nothing but addresses and the system.
//
//nolint:gochecknoglobals // a constant table
var prefixes = []struct {
	prefix, kind string
	shown        bool
}{
	{panicComplaint, "panic", false},
	{"http: Accept error: ", "accept", true},
	{tlsComplaint, "tls", true},
	{refusedComplaint, "refused", true},
	{"http: superfluous response.WriteHeader call from ", "write", true},
	{"http: response.Write", "write", true},
	{"http: response.WriteHeader", "write", true},
	{"http: WriteHeader called with ", "write", true},
}

const (
	// net/http's words, and those of this package for what it does before net/http
	panicComplaint = "http: panic serving "
	// net/http's words, and those of this package, which makes the handshakes
	tlsComplaint     = "http: TLS handshake error from "
	refusedComplaint = "refusing a request from "
)

// maxComplaint is how much of a message is shown, in bytes.
const maxComplaint = 300

func judge(message string) (kind, text string) {
	kind, text = "other", "a message that may quote a request; it is not shown"
	for _, p := range prefixes {
		if !strings.HasPrefix(message, p.prefix) {
			continue
		}
		switch {
		case p.shown:
			line, _, _ := strings.Cut(message, "\n")
			return p.kind, line[:min(len(line), maxComplaint)]
		default:
			return p.kind, "at " + strings.Join(frames(message), " < ")
		}
	}
	return kind, text
}

// maxFrames is how much of a panic's stack is shown.
const maxFrames = 12

//nolint:gochecknoglobals // a constant
var frame = regexp.MustCompile(`(?m)^\t(?:.*/)?([^/\s]+/[^/\s]+\.go:\d+)`)

// frames are the files and lines of a stack, without the arguments that stand beside them.
func frames(stack string) (list []string) {
	for _, m := range frame.FindAllStringSubmatch(stack, maxFrames) {
		list = append(list, m[1])
	}
	return list
}

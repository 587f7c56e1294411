package audit

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// refusals bounds how many refused records of valid tokens are written: a workflow that runs wild must not fill the disk.
type refusals struct {
	second     int64
	written    int
	suppressed int
}

const refusalsPerSecond = 100

func (r *refusals) admit(now time.Time) bool {
	if s := now.Unix(); s != r.second {
		r.second, r.written = s, 0
	}
	if r.written == refusalsPerSecond {
		r.suppressed++
		return false
	}
	r.written++
	return true
}

func (r *refusals) take() int {
	n := r.suppressed
	r.suppressed = 0
	return n
}

// What requests without a valid token may write, in bytes. All of them together come to 350 MB a day at the most, whatever is sent
// and from wherever; one source to a quarter of the first burst, and 44 MB a day.
const (
	strangersBurst  = 512 << 10
	strangersSecond = 4 << 10
	sourceBurst     = 128 << 10
	sourceSecond    = 512
	maxSources      = 4096 // that are told apart; what comes beyond shares one budget
)

// budget is a token bucket of bytes. It may go below zero by one record.
type budget struct {
	room float64
	at   time.Time
}

func (b *budget) refill(now time.Time, burst, second float64) float64 {
	if b.at.IsZero() {
		b.room = burst
	} else {
		b.room = min(burst, b.room+second*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
	return b.room
}

// strangers bounds what requests without a valid token write. What gets no record of its own is counted, and summary tells of it.
type strangers struct {
	all     budget
	sources map[string]*source
	total   int // left out since the start
	left    int // left out since the last summary
	codes   map[string]int
}

type source struct {
	budget
	left int // left out since the last summary
}

// admit decides whether a refusal is written.
func (s *strangers) admit(now time.Time, ev *Event) bool {
	from := s.of(now, sourceOf(ev.Source))
	if from.refill(now, sourceBurst, sourceSecond) > 0 && s.all.refill(now, strangersBurst, strangersSecond) > 0 {
		return true
	}
	from.left++
	s.left++
	s.total++
	if s.codes == nil {
		s.codes = make(map[string]int)
	}
	s.codes[ev.Code]++ // a closed set
	return false
}

// charge takes what a record has cost.
func (s *strangers) charge(from string, bytes int) {
	s.all.room -= float64(bytes)
	src := s.sources[sourceOf(from)]
	if src == nil {
		src = s.sources[""]
	}
	if src != nil {
		src.room -= float64(bytes)
	}
}

// of finds the budget of a source. Those that have not been heard of for long make room for others.
func (s *strangers) of(now time.Time, name string) *source {
	if src := s.sources[name]; src != nil {
		return src
	}
	if s.sources == nil {
		s.sources = make(map[string]*source)
	}
	if len(s.sources) >= maxSources {
		for old, src := range s.sources {
			if src.left == 0 && now.Sub(src.at).Seconds()*sourceSecond > sourceBurst {
				delete(s.sources, old)
			}
		}
	}
	if len(s.sources) >= maxSources {
		if name = ""; s.sources[name] != nil {
			return s.sources[name]
		}
	}
	src := new(source)
	s.sources[name] = src
	return src
}

// summary is the record of what was left out since the last one; nil if nothing was.
func (s *strangers) summary() *Event {
	if s.left == 0 {
		return nil
	}
	var most string
	var sources, n int
	for name, src := range s.sources {
		if src.left == 0 {
			continue
		}
		if sources++; src.left > n || src.left == n && name < most {
			most, n = name, src.left
		}
		src.left = 0
	}
	ev := &Event{Suppressed: s.left, Source: most, Detail: fmt.Sprintf(
		"%d more requests without a valid token were refused, from %d sources; %d of them from the one named here; by code: %s",
		s.left, sources, n, counted(s.codes))}
	s.left, s.codes = 0, nil
	return ev
}

// counted lists the codes, the most frequent first.
func counted(codes map[string]int) string {
	names := slices.SortedFunc(maps.Keys(codes), func(a, b string) int {
		return cmp.Or(codes[b]-codes[a], strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, codes[name])
	}
	return strings.Join(names, ", ")
}

// sourceOf is what is taken for one source: an address, or the /64 of an IPv6 one, of which a single host has all.
func sourceOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	p, _ := a.WithZone("").Prefix(64)
	return p.String()
}

// The bounds of what a request without a valid token leaves in its record, in bytes.
const (
	briefName   = 64
	briefMethod = 16
	briefPath   = 200
	briefDetail = 200
)

// brief is the record of a request without a valid token: enough to find out who it is that has lost its token.
func brief(ev *Event) *Event {
	short := *ev
	for _, f := range []struct {
		text *string
		max  int
	}{
		{&short.Service, briefName},
		{&short.Method, briefMethod},
		{&short.Path, briefPath},
		{&short.Detail, briefDetail},
		{&short.Workflow, briefName},
		{&short.Execution, briefName},
		{&short.Node, briefName},
	} {
		*f.text = cut(*f.text, f.max)
	}
	return &short
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

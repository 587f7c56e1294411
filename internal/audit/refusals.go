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

// refusals bounds how many refused records of valid tokens are written in a second.
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

// allowance is what refused requests of one kind may write, in bytes: of the same name at once and in a second, and all
// together.
type allowance struct {
	burst, second       float64
	ownBurst, ownSecond float64
	// for the summary: how many, of how many names, how many of the one that had most, by code
	told string
}

// Requests without a valid token come to 350 MB a day at the most, whatever is sent and from wherever; one source to a
// quarter of the first burst, and 44 MB a day. Those with a valid token come to 1.4 GB a day, one token to 350 MB: a
// workflow that runs wild, or a token that got into wrong hands, must not fill the disk either.
//
//nolint:gochecknoglobals // constants
var (
	ofStrangers = allowance{
		burst: 512 << 10, second: 4 << 10, ownBurst: 128 << 10, ownSecond: 512,
		told: "%d more requests without a valid token were refused, from %d sources; %d of them from the one named " +
			"here; by code: %s",
	}
	ofHolders = allowance{
		burst: 1 << 20, second: 16 << 10, ownBurst: 256 << 10, ownSecond: 4 << 10,
		told: "%d more requests with a valid token were refused, of %d tokens; %d of them with the one named here; " +
			"by code: %s",
	}
)

// maxNames are told apart; what comes beyond shares one budget.
const maxNames = 4096

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

// quota bounds what refused requests write, by name: the source of those without a valid token, the token of the
// others. What gets no record of its own is counted, and summary tells of it.
type quota struct {
	allowance

	all   budget
	names map[string]*holder
	total int // left out since the start
	left  int // left out since the last summary
	codes map[string]int
}

type holder struct {
	budget
	left int // left out since the last summary
}

// admit decides whether a refusal is written, and whether it has to be short: what has used up half of its own first
// bytes comes again and again, and its first records say all there is.
func (q *quota) admit(now time.Time, name, code string) (write, short bool) {
	h := q.of(now, name)
	room := h.refill(now, q.ownBurst, q.ownSecond)
	if room > 0 && q.all.refill(now, q.burst, q.second) > 0 {
		return true, room < q.ownBurst/2
	}
	h.left++
	q.left++
	q.total++
	if q.codes == nil {
		q.codes = make(map[string]int)
	}
	q.codes[code]++ // a closed set
	return false, false
}

// charge takes what a record has cost.
func (q *quota) charge(name string, bytes int) {
	q.all.room -= float64(bytes)
	h := q.names[name]
	if h == nil {
		h = q.names[""]
	}
	if h != nil {
		h.room -= float64(bytes)
	}
}

// of finds the budget of a name. Those that have not been heard of for long make room for others.
func (q *quota) of(now time.Time, name string) *holder {
	if h := q.names[name]; h != nil {
		return h
	}
	if q.names == nil {
		q.names = make(map[string]*holder)
	}
	if len(q.names) >= maxNames {
		for old, h := range q.names {
			if h.left == 0 && now.Sub(h.at).Seconds()*q.ownSecond > q.ownBurst {
				delete(q.names, old)
			}
		}
	}
	if len(q.names) >= maxNames {
		if name = ""; q.names[name] != nil {
			return q.names[name]
		}
	}
	h := new(holder)
	q.names[name] = h
	return h
}

// summary tells what was left out since the last one, and whose that was for the most part; "" if nothing was.
func (q *quota) summary() (n int, most, detail string) {
	if q.left == 0 {
		return 0, "", ""
	}
	var names, many int
	for name, h := range q.names {
		if h.left == 0 {
			continue
		}
		if names++; h.left > many || h.left == many && name < most {
			most, many = name, h.left
		}
		h.left = 0
	}
	n, detail = q.left, fmt.Sprintf(q.told, q.left, names, many, counted(q.codes))
	q.left, q.codes = 0, nil
	return n, most, detail
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

// The bounds of what a short record takes from outside, in bytes.
const (
	briefName   = 64
	briefMethod = 16
	briefPath   = 200
	briefDetail = 200
)

// brief is the short record: enough to find out who it is that has lost its token, or goes on and on.
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

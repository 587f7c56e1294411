package boundary

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/held"
	"sallyport/internal/boundary/service"
)

// maxMethod is the longest method, in bytes, that is recorded as it is.
const maxMethod = 20

// noted is what is recorded of a request before anything is decided: without proxy tokens, without any secret that the
// gate holds for whatever service, and without what cannot be a name.
func (p *Pipeline) noted(v *View, x *exchange) {
	clean := func(s string) string { return p.cut(hideTokens(s), x.started, false) }
	e := x.event
	e.Path, e.Service, e.Method = clean(recordedPath(v)), v.Service, v.Method
	e.Workflow, e.Execution, e.Node = clean(first(v.Header, HeaderWorkflow)), clean(first(v.Header, HeaderExecution)),
		clean(first(v.Header, HeaderNode))
	if _, known := p.Services().Lookup(v.Service); !known {
		e.Service = p.name(v.Service)
	}
	if !plainMethod(v.Method) || clean(v.Method) != v.Method {
		e.Method = "…"
	}
	x.event = e
}

// name is what a service is called that there is none of: "…" where that can be no name, or looks like a key.
func (p *Pipeline) name(s string) string {
	if s == "" || service.ValidName(s) && held.LookAlikes(s) == s && p.cut(hideTokens(s), p.o.Now(), true) == s {
		return s
	}
	return "…"
}

// plainMethod wants the letters of a method that is a word.
func plainMethod(s string) bool {
	return s != "" && len(s) <= maxMethod && !slices.ContainsFunc([]byte(s), func(c byte) bool {
		return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
	})
}

// strip takes out of the record of a refused request what was not known when it began: a secret that is held since,
// and, where there was no valid token or no such service, whatever looks like a key.
func (p *Pipeline) strip(x *exchange) {
	e := &x.event
	for _, s := range []*string{&e.Path, &e.Workflow, &e.Execution, &e.Node, &x.detail} {
		*s = p.cut(*s, x.started, true)
	}
	if x.grant != nil && x.service != nil {
		return
	}
	for _, s := range []*string{&e.Path, &e.Workflow, &e.Execution, &e.Node} {
		*s = held.LookAlikes(*s)
	}
}

// The secrets of few services are compared at each request, of many once in a while and where a request is refused.
const (
	fewServices = 64
	staleAfter  = 100 * time.Millisecond
)

// memory is the index of all secrets of a table of services, and of what it was made.
type memory struct {
	table   *service.Table
	list    []*service.Service
	made    []any // of each one's credential: which one it was
	index   *held.Index
	checked atomic.Int64 // nanoseconds since 1970
}

// remembered keeps the memory of the pipeline's services.
type remembered struct {
	current  atomic.Pointer[memory]
	building sync.Mutex
}

// cut takes all held secrets out of s. With sure set no secret is missed that came a moment ago.
func (p *Pipeline) cut(s string, now time.Time, sure bool) string {
	if s == "" {
		return s
	}
	m, table := p.remembered.current.Load(), p.Services()
	if m == nil || m.table != table || !m.fresh(now, sure) {
		m = p.remember(table, now)
	}
	return m.index.Cut(s)
}

func (m *memory) fresh(now time.Time, sure bool) bool {
	if !sure && len(m.list) > fewServices && now.UnixNano()-m.checked.Load() < int64(staleAfter) {
		return true
	}
	for i, s := range m.list {
		if s.Credential.Version() != m.made[i] {
			return false
		}
	}
	m.checked.Store(now.UnixNano())
	return true
}

// remember makes the index again, unless another request has done so meanwhile.
func (p *Pipeline) remember(table *service.Table, now time.Time) *memory {
	p.remembered.building.Lock()
	defer p.remembered.building.Unlock()
	if m := p.remembered.current.Load(); m != nil && m.table == table && m.fresh(now, true) {
		return m
	}
	m := &memory{table: table, list: table.All()}
	var secrets [][]byte
	for _, s := range m.list {
		m.made = append(m.made, s.Credential.Version())
		secrets = append(secrets, s.Credential.Secrets()...)
	}
	m.index = held.Compile(secrets)
	m.checked.Store(now.UnixNano())
	p.remembered.current.Store(m)
	return m
}

package held

import (
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/boundary/service"
)

// The secrets of few services are compared at each request, of many once in a while and where a request is refused.
const (
	fewServices = 64
	staleAfter  = 100 * time.Millisecond
)

// compiled is the Index of all secrets of a table of services, and of what it was made.
type compiled struct {
	table   *service.Table
	list    []*service.Service
	made    []any // of each one's credential: which one it was
	index   *Index
	checked atomic.Int64 // nanoseconds since 1970
}

// Memory is the Index of all services' secrets, made again whenever one of them has changed. It is safe for concurrent
// use; its zero value is empty.
type Memory struct {
	current  atomic.Pointer[compiled]
	building sync.Mutex
}

// Cut takes the secrets of all services of table out of s. With sure set no secret is missed that came a moment ago.
func (r *Memory) Cut(table *service.Table, s string, now time.Time, sure bool) string {
	if s == "" {
		return s
	}
	m := r.current.Load()
	if m == nil || m.table != table || !m.fresh(now, sure) {
		m = r.remember(table, now)
	}
	return m.index.Cut(s)
}

func (m *compiled) fresh(now time.Time, sure bool) bool {
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
func (r *Memory) remember(table *service.Table, now time.Time) *compiled {
	r.building.Lock()
	defer r.building.Unlock()
	if m := r.current.Load(); m != nil && m.table == table && m.fresh(now, true) {
		return m
	}
	m := &compiled{table: table, list: table.All()}
	var secrets [][]byte
	for _, s := range m.list {
		m.made = append(m.made, s.Credential.Version())
		secrets = append(secrets, s.Credential.Secrets()...)
	}
	m.index = Compile(secrets)
	m.checked.Store(now.UnixNano())
	r.current.Store(m)
	return m
}

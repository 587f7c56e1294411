package token

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"sallyport/internal/database"
)

const (
	// maxWorkflow bounds what is kept of a workflow's name, in bytes; callers choose it.
	maxWorkflow = 200
	// maxWorkflows bounds how many workflows are told apart for each generation: a caller can name a new one with each
	// request.
	maxWorkflows = 1000
	// useKept is how long it is kept who used a generation: longer than any rotation takes.
	useKept = 90 * 24 * time.Hour
)

// Use is when a workflow last used a generation.
type Use struct {
	Workflow string    `json:"workflow"` // as the caller named it; "" when it named none
	At       time.Time `json:"last_used"`
}

// usage is when, and by which workflows, a generation was last used. It outlives reloads of the registry, so that no
// use is forgotten. Readers take no lock; the map is replaced by another when a workflow is new.
type usage struct {
	at        atomic.Int64 // microseconds; 0 when it was not used
	workflows atomic.Pointer[map[string]*workflowUse]
	flushed   atomic.Int64 // at, when it was last written
	adding    sync.Mutex
}

type workflowUse struct {
	name    string // fit for a text column and a terminal
	at      atomic.Int64
	flushed atomic.Int64
}

// Touch notes that g was used at at by workflow, as the caller named it. It takes no lock unless the workflow is new to
// this process. Flush carries it to the database.
func (*Registry) Touch(g *Grant, workflow string, at time.Time) {
	micros := at.UnixMicro()
	raise(&g.used.at, micros)
	if w := g.used.by(workflow, micros); w != nil {
		raise(&w.at, micros)
	}
}

// raise sets n to at if that is later.
func raise(n *atomic.Int64, at int64) {
	for last := n.Load(); at > last && !n.CompareAndSwap(last, at); last = n.Load() {
	}
}

// by is what is known of a workflow that uses the generation at micros, or nil where there are too many.
func (u *usage) by(workflow string, micros int64) *workflowUse {
	if len(workflow) > maxWorkflow {
		workflow = workflow[:maxWorkflow]
	}
	if known := u.workflows.Load(); known != nil {
		if w := (*known)[workflow]; w != nil {
			return w
		}
	}
	return u.add(workflow, micros)
}

func (u *usage) add(workflow string, micros int64) *workflowUse {
	u.adding.Lock()
	defer u.adding.Unlock()
	next := make(map[string]*workflowUse)
	if known := u.workflows.Load(); known != nil {
		if w := (*known)[workflow]; w != nil {
			return w
		}
		maps.Copy(next, *known)
	}
	if len(next) >= maxWorkflows {
		maps.DeleteFunc(next, func(_ string, w *workflowUse) bool {
			return w.at.Load() < micros-useKept.Microseconds()
		})
	}
	if len(next) >= maxWorkflows {
		return nil
	}
	workflow = strings.Clone(workflow) // keeps nothing else of the request in memory
	w := &workflowUse{name: clean(workflow)}
	next[workflow] = w
	u.workflows.Store(&next)
	return w
}

// each calls fn with every workflow that used the generation.
func (u *usage) each(fn func(w *workflowUse)) {
	if known := u.workflows.Load(); known != nil {
		for _, w := range *known {
			fn(w)
		}
	}
}

// clean makes the caller's text fit for a text column.
func clean(workflow string) string {
	return strings.Map(func(r rune) rune {
		// control characters, and those that turn or hide what stands beside them on a terminal
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(workflow, ""))
}

// Flush writes who used what since the last Flush. Losing one to a crash loses a display, not a decision. It does not
// notify.
func (r *Registry) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	dirty := r.dirty()
	if len(dirty) == 0 {
		return nil
	}
	err := r.db.WriteQuietly(ctx, Topic, func(tx *sql.Tx) error {
		for i := range dirty {
			if err := dirty[i].write(ctx, tx); err != nil {
				return database.Explain(err)
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM token_use WHERE used < $1", r.now().Add(-useKept).UnixMicro())
		return database.Explain(err)
	})
	if err != nil {
		return fmt.Errorf("writing the last use of proxy tokens: %w", err)
	}
	for i := range dirty {
		dirty[i].flushed.Store(dirty[i].micros)
	}
	return nil
}

// use is what is to be written of a generation's use, or of a workflow's.
type use struct {
	id       string
	workflow *string // nil: the row of the generation, with the workflow that used it last
	last     string
	micros   int64
	flushed  *atomic.Int64
}

func (u *use) write(ctx context.Context, tx *sql.Tx) error {
	if u.workflow == nil {
		_, err := tx.ExecContext(ctx,
			"UPDATE proxy_token SET last_used = $1, last_workflow = $2 WHERE id = $3 AND last_used < $1",
			u.micros, u.last, u.id)
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO token_use (id, workflow, used) VALUES ($1, $2, $3)
		ON CONFLICT (id, workflow) DO UPDATE SET used = excluded.used WHERE token_use.used < excluded.used`,
		u.id, *u.workflow, u.micros)
	return err
}

func (r *Registry) dirty() []use {
	r.mu.Lock()
	defer r.mu.Unlock()
	var dirty []use
	for id, used := range r.usages {
		if micros := used.at.Load(); micros > used.flushed.Load() {
			dirty = append(dirty, use{id: id, last: used.lastWorkflow(), micros: micros, flushed: &used.flushed})
		}
		used.each(func(w *workflowUse) {
			if at := w.at.Load(); at > w.flushed.Load() {
				dirty = append(dirty, use{id: id, workflow: &w.name, micros: at, flushed: &w.flushed})
			}
		})
	}
	// One order for all replicas, so that none waits for another that waits for it.
	slices.SortFunc(dirty, func(a, b use) int {
		return cmp.Or(strings.Compare(a.id, b.id), strings.Compare(deref(a.workflow), deref(b.workflow)))
	})
	return dirty
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (u *usage) lastWorkflow() string {
	last, name := int64(-1), ""
	u.each(func(w *workflowUse) {
		if at := w.at.Load(); at > last {
			last, name = at, w.name
		}
	})
	return name
}

// addTo shows in g the uses that are not in the database yet. A nil usage has none.
func (u *usage) addTo(g *Generation) {
	if u == nil {
		return
	}
	if at := database.Time(u.at.Load()); at.After(g.LastUsed) {
		g.LastUsed, g.LastWorkflow = at, u.lastWorkflow()
	}
	u.each(func(w *workflowUse) { g.usedBy(w.name, database.Time(w.at.Load())) })
}

// usedBy adds a use to g's, the latest of each workflow.
func (g *Generation) usedBy(workflow string, at time.Time) {
	i := slices.IndexFunc(g.Uses, func(u Use) bool { return u.Workflow == workflow })
	switch {
	case i < 0:
		g.Uses = append(g.Uses, Use{workflow, at})
	case g.Uses[i].At.Before(at):
		g.Uses[i].At = at
	}
}

// readUses adds to the generations in list the uses that the database knows, the latest first.
func readUses(ctx context.Context, from querier, list []Generation) (err error) {
	byID := make(map[string]*Generation, len(list))
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	result, err := from.QueryContext(ctx,
		"SELECT id, substr(workflow, 1, 200), used FROM token_use WHERE length(id) <= 100 ORDER BY used DESC LIMIT "+
			"100000")
	if err != nil {
		return err
	}
	defer func() { _ = result.Close() }()
	for result.Next() {
		var id, workflow string
		var used int64
		if result.Scan(&id, &workflow, &used) != nil {
			continue // someone else's row: it is only shown
		}
		if g := byID[id]; g != nil && len(g.Uses) < maxWorkflows {
			g.Uses = append(g.Uses, Use{workflow, database.Time(used)})
		}
	}
	return result.Err()
}

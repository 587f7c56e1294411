package token

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
	"unicode"

	"sallyport/internal/database"
)

// maxWorkflow bounds what is kept of a workflow's name, in bytes; callers choose it.
const maxWorkflow = 200

// Touch notes that g was used at at by workflow, as the caller named it. It takes no lock; of uses in the same microsecond
// one workflow's name wins. Flush carries it to the database.
func (*Registry) Touch(g *Grant, workflow string, at time.Time) {
	used, micros := g.used, at.UnixMicro()
	for {
		last := used.at.Load()
		if micros <= last {
			return
		}
		if used.at.CompareAndSwap(last, micros) {
			break
		}
	}
	if known := used.workflow.Load(); known == nil || *known != workflow {
		name := clean(workflow)
		used.workflow.Store(&name)
	}
}

// clean makes the caller's text fit for a text column, and keeps it from holding on to the request's memory.
func clean(workflow string) string {
	if len(workflow) > maxWorkflow {
		workflow = workflow[:maxWorkflow]
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) { // control characters, and those that turn or hide what stands beside them on a terminal
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.Clone(workflow), ""))
}

// Flush writes the last use of each generation that was used since the last Flush. Losing one to a crash loses a display,
// not a decision. It does not notify.
func (r *Registry) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	dirty := r.dirty()
	if len(dirty) == 0 {
		return nil
	}
	err := r.db.WriteQuietly(ctx, Topic, func(tx *sql.Tx) error {
		for id, used := range dirty {
			_, err := tx.ExecContext(ctx, "UPDATE proxy_token SET last_used = $1, last_workflow = $2 WHERE id = $3 AND last_used < $1",
				used.micros, used.workflow, id)
			if err != nil {
				return database.Explain(err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing the last use of proxy tokens: %w", err)
	}
	for _, used := range dirty {
		used.from.flushed.Store(used.micros)
	}
	return nil
}

// use is a usage at one moment.
type use struct {
	from     *usage
	micros   int64
	workflow string
}

func (r *Registry) dirty() map[string]use {
	r.mu.Lock()
	defer r.mu.Unlock()
	dirty := make(map[string]use)
	for id, used := range r.usages {
		if micros := used.at.Load(); micros > used.flushed.Load() {
			dirty[id] = use{from: used, micros: micros, workflow: used.lastWorkflow()}
		}
	}
	return dirty
}

func (u *usage) lastWorkflow() string {
	if name := u.workflow.Load(); name != nil {
		return *name
	}
	return ""
}

// addTo shows in g a use that is not in the database yet. A nil usage has none.
func (u *usage) addTo(g *Generation) {
	if u == nil {
		return
	}
	if at := database.Time(u.at.Load()); at.After(g.LastUsed) {
		g.LastUsed, g.LastWorkflow = at, u.lastWorkflow()
	}
}

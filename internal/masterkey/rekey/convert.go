package rekey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
)

// converted is a row with what becomes of it.
type converted struct {
	survey.Item

	cell    string // as it is to be
	changed int    // values that are encrypted again
	already int    // values that are as they are to be
	sum     digest // of its plaintexts
	err     error
}

// hopeless is how many values are looked at before a key that has opened none of them counts as wrong.
const hopeless = 2000

// convertAll rewrites every place.
func (r *run) convertAll(ctx context.Context) error {
	locations, err := r.tx.Locations(ctx)
	if err != nil {
		return fmt.Errorf("listing what is encrypted: %w", err)
	}
	var done int64
	for _, p := range locations {
		r.report.Survey.Count(p, len(r.masters), nil)
		line := pipeline{r: r, ctx: ctx, location: p}
		err := r.rows(ctx, p, func(rows []database.Row) error {
			if err := line.next(rows); err != nil {
				return err
			}
			done += int64(len(rows))
			r.tell("writing", p.String(), done, r.total)
			return ctx.Err()
		})
		if err = errors.Join(err, line.last(err)); err != nil {
			return fmt.Errorf("changing %s: %w", p, err)
		}
	}
	return nil
}

// judge looks at what could not be opened.
func (r *run) judge() error {
	t := r.report.Survey.Totals()
	switch {
	case t.Unreadable == 0:
		return nil
	case t.Readable() == 0 && !r.proved():
		return wrongKey(errors.New("the old key opens none of the values"))
	case r.o.KeepUnreadable:
		r.report.Kept = t.Unreadable
		return nil
	}
	first := r.report.Survey.Unreadable[0]
	return fault.WithHint(
		fault.WithExit(fmt.Errorf("changing the master key: neither key opens %d values, the first of them %s of row "+
			"%s (%s)", t.Unreadable, first.Location, first.Row, first.Why), fault.ExitFindings),
		"n8n cannot read them either; --keep-unreadable leaves them as they are, `--dry-run` lists them")
}

// proved tells whether a row of deployment_key vouches for the keys.
func (r *run) proved() bool {
	for _, row := range r.ring.Rows {
		if row.Proves() {
			return true
		}
	}
	return false
}

// leave notes the values that stay closed in the backup; an Undo looks whether they did before.
func (r *run) leave(p database.Location, items []survey.Item) error {
	for _, item := range items {
		if item.Err != nil {
			item.Values = []survey.Value{{Value: database.Value{Stored: item.Cell}, Err: item.Err}}
		}
		for _, v := range item.Values {
			switch {
			case v.Err == nil:
			case r.file != nil:
				if err := r.file.leave(v.Stored); err != nil {
					return err
				}
			case !r.left[sha256.Sum256([]byte(v.Stored))]:
				r.alien = append(r.alien, survey.Unreadable{
					Location: p.String(), Row: strings.Join(item.Key, "/"),
					Path: v.Path, Why: v.Err.Error(),
				})
			}
		}
	}
	return nil
}

// pipeline has the processors at work on a batch while the one before is written and the one behind is read.
type pipeline struct {
	r        *run
	ctx      context.Context //nolint:containedctx // one place's, and the callback of Rows has no other
	location database.Location
	pending  chan batch
}

type batch struct {
	rows  []converted
	spent time.Duration
	err   error // a panic
}

func (l *pipeline) next(rows []database.Row) error {
	ahead := make(chan batch, 1)
	guard.Go("converting rows", func() { ahead <- l.r.convertBatch(l.location, rows) }, // last receives from it, always
		func(why *fault.Panic) { ahead <- batch{err: why} })
	err := l.take()
	l.pending = ahead
	return err
}

// take writes the batch that is under way, if there is one.
func (l *pipeline) take() error {
	if l.pending == nil {
		return nil
	}
	b := <-l.pending
	l.pending = nil
	if b.err != nil {
		return b.err
	}
	l.r.report.Crypto += b.spent
	return l.r.writeBatch(l.ctx, l.location, b.rows)
}

// last ends the pipeline; after an error what is under way is only waited for.
func (l *pipeline) last(err error) error {
	if err != nil && l.pending != nil {
		<-l.pending
		return nil
	}
	return l.take()
}

func (r *run) convertBatch(p database.Location, rows []database.Row) batch {
	began := time.Now()
	list := make([]converted, len(rows))
	survey.Spread(len(rows), func(i int) { list[i] = r.convert(p, rows[i]) })
	return batch{rows: list, spent: time.Since(began)}
}

// convert opens the values of a row, encrypts them as they are to be, and opens the result again.
func (r *run) convert(p database.Location, row database.Row) converted {
	c := converted{Item: r.ring.OpenRow(p, row), cell: row.Cell}
	if c.Err != nil || len(c.Values) == 0 {
		return c
	}
	stored := make([]string, len(c.Values))
	for i, v := range c.Values {
		var same bool
		if stored[i], same = r.target(p, v); same {
			if v.Err == nil {
				c.already++
			}
			continue
		}
		c.changed++
	}
	if c.changed > 0 {
		if c.cell, c.err = p.Replace(row.Cell, stored); c.err != nil {
			return c
		}
	}
	c.sum, c.err = r.compare(p, c)
	return c
}

// target is a value as it is to be stored.
func (r *run) target(p database.Location, v survey.Value) (stored string, same bool) {
	if v.Err != nil {
		return v.Stored, true
	}
	if v.DataKey == "" && v.Master != 0 { // the old key does not open it: it may be right already
		if opened, err := r.after.Open(v.Stored, p.Right); err == nil && opened.Plain.Equal(v.Plain) {
			return v.Stored, true
		}
	}
	return r.write.stored(v)
}

// compare opens what is to be stored with the new keys alone. It returns the digest of the plaintexts.
func (r *run) compare(p database.Location, c converted) (digest, error) {
	var sum digest
	again, err := p.Values(c.cell)
	if err != nil || len(again) != len(c.Values) {
		return sum, fmt.Errorf("proving row %v: the cell has other values than before", c.Key)
	}
	for i, v := range again {
		was := c.Values[i]
		if was.Err != nil {
			continue
		}
		same := func(plain []byte) bool { return bytes.Equal(plain, was.Plain.Reveal()) }
		opened, err := r.after.Open(v.Stored, same)
		if err != nil || v.Path != was.Path {
			return sum, fmt.Errorf("proving row %v: a value does not open as it did", c.Key)
		}
		sum.add(r.sum.of(p, c.Key, survey.Value{Value: v, Opened: opened}))
	}
	return sum, nil
}

// writeBatch puts a batch into the backup, then into the database.
func (r *run) writeBatch(ctx context.Context, p database.Location, list []converted) error {
	var changed []database.Row
	var first database.Row // of them, as it was
	items := make([]survey.Item, 0, len(list))
	for _, c := range list {
		if c.err != nil {
			return c.err
		}
		items = append(items, c.Item)
		r.report.Changed += c.changed
		r.report.Already += c.already
		r.sum.add(c.sum)
		if c.changed == 0 {
			continue
		}
		if err := spent(&r.report.Sealing, func() error { return r.file.row(p, c.Row, c.cell) }); err != nil {
			return err
		}
		if changed = append(changed, database.Row{Key: c.Key, Cell: c.cell}); len(changed) == 1 {
			first = c.Row
		}
	}
	if err := r.leave(p, items); err != nil {
		return err
	}
	r.report.Survey.Count(p, len(r.masters), items)
	if t := r.report.Survey.Totals(); r.left == nil && !r.o.KeepUnreadable && t.Values >= hopeless &&
		t.Readable() == 0 && !r.proved() {
		return r.judge()
	}
	if len(changed) == 0 {
		return nil
	}
	if r.witness == nil {
		r.witness = &witness{p, first}
	}
	return spent(&r.report.Storing, func() error { return r.tx.Update(ctx, p, changed) })
}

package survey

import (
	"context"
	"fmt"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
)

// LocationCount is what one place holds.
type LocationCount struct {
	Location   string              `json:"place"`
	Rows       int                 `json:"rows"`
	Values     int                 `json:"values"`
	Forms      map[cipher.Form]int `json:"forms"`
	Masters    []int               `json:"masters"`   // values that each master key opens itself
	DataKeys   int                 `json:"data_keys"` // values that a data key opens
	Unreadable int                 `json:"unreadable"`
}

// Readable is how many values have been opened.
func (c LocationCount) Readable() int { return c.Values - c.Unreadable }

// Unreadable names a value that stays closed.
type Unreadable struct {
	Location string `json:"place"`
	Row      string `json:"row"`            // its primary key
	Path     string `json:"path,omitempty"` // where in the cell
	Why      string `json:"why"`
}

// Stray is a column outside the inventory with ciphertext that a key of the ring opens: n8n, or a node of it, encrypts
// there.
type Stray struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Row    string `json:"row"`   // the first of them
	Count  int    `json:"count"` // how many values
}

// Name is the column as people name it: table.column.
func (s Stray) Name() string { return s.Table + "." + s.Column }

// Survey is what a database holds, by the keys of a ring.
type Survey struct {
	Locations  []LocationCount `json:"places"`
	Unreadable []Unreadable    `json:"unreadable"` // the first of them, up to MaxNamed
	Strays     []Stray         `json:"strays"`     // a column each
	// strays that no key opens: ciphertext of someone else's, in a workflow for example
	Foreign int `json:"foreign"`
}

// MaxNamed bounds Survey.Unreadable: the counts are whole, the names are to begin with.
const MaxNamed = 100

// Totals adds the places up.
func (s Survey) Totals() (t LocationCount) {
	t.Location, t.Forms = "all", make(map[cipher.Form]int)
	for _, c := range s.Locations {
		t.Rows += c.Rows
		t.Values += c.Values
		t.DataKeys += c.DataKeys
		t.Unreadable += c.Unreadable
		t.Masters = add(t.Masters, c.Masters)
		for form, n := range c.Forms {
			t.Forms[form] += n
		}
	}
	return t
}

func add(sum, more []int) []int {
	for len(sum) < len(more) {
		sum = append(sum, 0)
	}
	for i, n := range more {
		sum[i] += n
	}
	return sum
}

// Count adds the items of a place to the survey; masters is how many master keys the ring has.
func (s *Survey) Count(p database.Location, masters int, items []Item) {
	if len(s.Locations) == 0 || s.Locations[len(s.Locations)-1].Location != p.String() {
		s.Locations = append(s.Locations, LocationCount{
			Location: p.String(), Forms: make(map[cipher.Form]int),
			Masters: make([]int, masters),
		})
	}
	c := &s.Locations[len(s.Locations)-1]
	for _, item := range items {
		c.Rows++
		if item.Err != nil {
			c.Values++
			s.closed(c, Unreadable{Location: c.Location, Row: nameOf(item.Key), Why: item.Err.Error()})
		}
		for _, v := range item.Values {
			c.Values++
			c.Forms[v.form()]++
			switch {
			case v.Err != nil:
				s.closed(c, Unreadable{Location: c.Location, Row: nameOf(item.Key), Path: v.Path, Why: v.Err.Error()})
			case v.Master >= 0:
				c.Masters[v.Master]++
			default:
				c.DataKeys++
			}
		}
	}
}

func (s *Survey) closed(c *LocationCount, u Unreadable) {
	c.Unreadable++
	if len(s.Unreadable) < MaxNamed {
		s.Unreadable = append(s.Unreadable, u)
	}
}

// Take surveys every place. seen, if set, is called with the number of rows after each batch.
func Take(ctx context.Context, tx *database.Tx, ring *Keyring, masters int, seen func(rows int)) (Survey, error) {
	var s Survey
	locations, err := tx.Locations(ctx)
	if err != nil {
		return s, fmt.Errorf("surveying the database: %w", err)
	}
	for _, p := range locations {
		s.Count(p, masters, nil) // it is there, also when it is empty
		err := tx.Rows(ctx, p, func(rows []database.Row) error {
			s.Count(p, masters, ring.OpenRows(p, rows))
			if seen != nil {
				seen(len(rows))
			}
			return ctx.Err()
		})
		if err != nil {
			return s, fmt.Errorf("surveying %s: %w", p, err)
		}
	}
	return s, nil
}

// LookElsewhere adds the ciphertext that lies outside the known places.
func (s *Survey) LookElsewhere(ctx context.Context, tx *database.Tx, ring *Keyring) error {
	err := tx.Strays(ctx, ring.DataKeys(), func(found database.Stray) error {
		_, err := ring.Open(found.Stored, Text)
		if err != nil {
			s.Foreign++
			return ctx.Err()
		}
		s.stray(found)
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("looking for ciphertext elsewhere: %w", err)
	}
	return nil
}

func (s *Survey) stray(found database.Stray) {
	for i, known := range s.Strays {
		if known.Table == found.Table && known.Column == found.Column {
			s.Strays[i].Count++
			return
		}
	}
	s.Strays = append(s.Strays, Stray{Table: found.Table, Column: found.Column, Row: found.Row, Count: 1})
}

// Text tells what a person or a program could have written from what a wrong key gives.
func Text(plain []byte) bool {
	if !utf8.Valid(plain) || len(plain) == 0 {
		return false
	}
	for _, r := range string(plain) {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}

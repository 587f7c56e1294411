package survey

import (
	"runtime"

	"sallyport/internal/guard"
	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
)

// Item is a row with its values opened.
type Item struct {
	database.Row

	Values []Value
	Err    error // the cell is not what n8n writes; there are no values then
}

// Value is one value of a row.
type Value struct {
	database.Value
	Opened

	Err error // why it is closed
}

// form is cipher.FormOf the stored value; what was opened needs no second look.
func (v Value) form() cipher.Form {
	switch {
	case v.Err != nil:
		return cipher.FormOf(v.Stored)
	case v.DataKey != "":
		return cipher.FormPrefixed
	}
	return cipher.FormCBC
}

// OpenRows opens the values of a batch of rows, on all processors.
func (k *Keyring) OpenRows(p database.Location, rows []database.Row) []Item {
	items := make([]Item, len(rows))
	Spread(len(rows), func(i int) { items[i] = k.OpenRow(p, rows[i]) })
	return items
}

// OpenRow opens the values of one row.
func (k *Keyring) OpenRow(p database.Location, row database.Row) Item {
	return k.OpenRowAs(p, row, p.Right)
}

// OpenRowAs is OpenRow with another idea of what a plaintext can be.
func (k *Keyring) OpenRowAs(p database.Location, row database.Row, right func(plaintext []byte) bool) Item {
	item := Item{Row: row}
	values, err := p.Values(row.Cell)
	if err != nil {
		item.Err = err
		return item
	}
	for _, v := range values {
		opened, err := k.Open(v.Stored, right)
		item.Values = append(item.Values, Value{Value: v, Opened: opened, Err: err})
	}
	return item
}

// Spread calls fn with 0 to n-1, on all processors, and returns when all is done.
func Spread(n int, fn func(i int)) {
	var all guard.Group
	workers := min(runtime.GOMAXPROCS(0), n)
	for w := range workers {
		all.Go("opening values", func() {
			for i := w; i < n; i += workers {
				fn(i)
			}
		})
	}
	all.Wait()
}

package database

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/internal/n8n/cipher"
)

// Stray is ciphertext where the inventory knows of none.
type Stray struct {
	Table, Column string // the table without its prefix
	Row           string // its primary key, with commas
	Stored        string
}

// String tells where it is, and not what.
func (s Stray) String() string { return s.Table + "." + s.Column + " of " + s.Row }

// Strays looks through every text column of every table that has n8n's prefix for what n8n may have encrypted: whole
// CBC values, and values under one of the data keys (ids of deployment_key), as a cell or inside of its text. What a
// place of the inventory holds is none. Servers send only rows with a hit, but they read everything, execution data
// too.
func (t *Tx) Strays(ctx context.Context, keyIDs []string, fn func(Stray) error) error {
	marks := []string{cbcMark}
	for _, id := range keyIDs {
		marks = append(marks, id+":")
	}
	for _, name := range slices.Sorted(maps.Keys(t.tables)) {
		for _, c := range t.tables[name].columns {
			if !c.text || name == deploymentKeys {
				continue
			}
			if err := t.straysOf(ctx, name, c.name, marks, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tx) straysOf(ctx context.Context, name, column string, marks []string, fn func(Stray) error) error {
	locations := slices.DeleteFunc(Inventory(), func(p Location) bool { return p.Table != name || p.Column != column })
	if slices.ContainsFunc(locations, func(p Location) bool { return p.Layout == Whole && p.Setting == "" }) {
		return nil // whoever walks the place meets every cell as a whole: nothing can lie beside its value
	}
	to, err := t.targetOf(t.tables[name], column)
	if err != nil {
		return err
	}
	s := scan{what: name + "." + column, to: to, where: []string{to.quoted + " IS NOT NULL"}}
	s.any(t, marks)
	return s.each(ctx, t, func(rows []Row) error {
		for _, row := range rows {
			for _, stored := range strays(row, locations, marks[1:]) {
				if err := fn(Stray{name, column, strings.Join(row.Key, ","), stored}); err != nil {
					return fmt.Errorf("looking for ciphertext: %w", err)
				}
			}
		}
		return nil
	})
}

// strays is the ciphertext of a cell that its places do not hold.
func strays(row Row, locations []Location, ids []string) []string {
	found := ciphertexts(row.Cell, ids)
	if len(found) == 0 {
		return nil
	}
	for _, p := range locations {
		if p.Setting != "" && p.Setting != row.Key[0] {
			continue
		}
		values, _ := p.Values(row.Cell) // of a cell that n8n did not write, everything is a stray
		for _, v := range values {
			delete(found, v.Stored)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// ciphertexts finds what cipher.FormOf calls CBC, or prefixed with one of the ids (which end in a colon), in a text.
func ciphertexts(text string, ids []string) map[string]bool {
	found := make(map[string]bool)
	eachIndex(text, cbcMark, func(i int) {
		if stored := run(text, i, len(cbcMark)); boundary(text, i) && cipher.FormOf(stored) == cipher.FormCBC {
			found[stored] = true
		}
	})
	for _, id := range ids {
		eachIndex(text, id, func(i int) {
			if stored := run(text, i, len(id)); boundary(text, i) && cipher.FormOf(stored) == cipher.FormPrefixed {
				found[stored] = true
				delete(found, stored[len(id):]) // a prefixed value of a CBC key has been found without its prefix too
			}
		})
	}
	return found
}

func eachIndex(text, part string, visit func(int)) {
	for from := 0; ; {
		i := strings.Index(text[from:], part)
		if i < 0 {
			return
		}
		visit(from + i)
		from += i + len(part)
	}
}

// run is the text from i to the end of its base64, of which the first known bytes are given.
func run(text string, i, known int) string {
	end := i + known
	for end < len(text) && isBase64(text[end]) {
		end++
	}
	for pad := 0; pad < 2 && end < len(text) && text[end] == '='; pad++ {
		end++
	}
	return text[i:end]
}

func isBase64(c byte) bool { return c == '+' || c == '/' || isAlphanumeric(c) }

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

// boundary reports whether a value can begin at i: not within a word, unless the letter before is JSON's \n or \t.
func boundary(text string, i int) bool {
	if i == 0 {
		return true
	}
	c := text[i-1]
	within := isBase64(c) || c == '-' || c == '_'
	return !within || i > 1 && text[i-2] == '\\' && strings.IndexByte("nrtbf/", c) >= 0
}

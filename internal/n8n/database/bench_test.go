package database_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/n8n/database"
)

// benchRows is how many credentials there are: SALLYPORT_BENCH_ROWS, or few enough for a quick look.
func benchRows(b *testing.B) int {
	b.Helper()
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_BENCH_ROWS")); err == nil {
		return n
	}
	return 20_000
}

// BenchmarkStreaming reads every credential of about 1.4 KB, as 1 KiB is when it is encrypted, and then rewrites every
// one, on each dialect. heap-MB is what Go has asked the system for.
func BenchmarkStreaming(b *testing.B) {
	rows := benchRows(b)
	for _, dialect := range []database.Dialect{database.SQLite, database.PostgreSQL, database.MySQL} {
		b.Run(string(dialect), func(b *testing.B) {
			s := newSite(b, dialect, "", "")
			s.fill(rows)
			db := s.open()
			p := database.Inventory()[0]
			other := strings.Repeat("B", 1400)
			b.Run("read", func(b *testing.B) {
				walk(b, db, rows, func(*database.Tx, []database.Row) error { return nil })
			})
			b.Run("rewrite", func(b *testing.B) {
				walk(b, db, rows, func(tx *database.Tx, batch []database.Row) error {
					for i := range batch {
						batch[i].Cell = other
					}
					return tx.Update(b.Context(), p, batch)
				})
			})
		})
	}
}

func walk(b *testing.B, db *database.DB, rows int, visit func(*database.Tx, []database.Row) error) {
	for b.Loop() {
		tx, err := db.Begin(b.Context(), true)
		if err != nil {
			b.Fatal(err)
		}
		seen := 0
		err = tx.Rows(context.WithoutCancel(b.Context()), database.Inventory()[0], func(batch []database.Row) error {
			seen += len(batch)
			return visit(tx, batch)
		})
		if err != nil || seen != rows {
			b.Fatalf("%d rows, %v", seen, err)
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(memory.HeapSys)/(1<<20), "heap-MB")
}

// fill makes credentials with ids in random order, in one statement.
func (s *site) fill(rows int) {
	s.t.Helper()
	source := map[database.Dialect]string{
		database.SQLite: "SELECT lower(hex(randomblob(8))), 'n', 'U2FsdGVkX1' || hex(zeroblob(695)), 't' FROM " +
			"(WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) SELECT i FROM c)",
		database.PostgreSQL: "SELECT left(md5(i::text), 16), 'n', 'U2FsdGVkX1' || repeat(md5(i::text), 43), 't' FROM " +
			"generate_series(1, %d) i",
		database.MySQL: "SELECT left(md5(seq), 16), 'n', concat('U2FsdGVkX1', repeat(md5(seq), 43)), 't' FROM " +
			"seq_1_to_%d",
	}[s.dialect]
	s.exec(s.sql(`INSERT INTO "credentials_entity" (id, name, data, type) `) + fmt.Sprintf(source, rows))
}

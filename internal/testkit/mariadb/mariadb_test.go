package mariadb_test

import (
	"database/sql"
	"os"
	"testing"

	"sallyport/internal/testkit/mariadb"

	"github.com/go-sql-driver/mysql"
)

var maria mariadb.Server

func TestMain(m *testing.M) { os.Exit(maria.Main(m)) }

// TestServer: each test has a database of its own, in the encoding that n8n uses.
func TestServer(t *testing.T) {
	names := make(map[string]bool)
	for range 2 {
		connector, err := mysql.NewConnector(maria.Config(t))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		defer db.Close()
		var name, encoding string
		if err := db.QueryRowContext(t.Context(), "SELECT database(), @@character_set_database").Scan(&name,
			&encoding); err != nil {
			t.Fatal(err)
		}
		if names[name] || encoding != "utf8mb4" {
			t.Errorf("database %q in %q; seen before: %v", name, encoding, names[name])
		}
		names[name] = true
	}
}

// Package recorded holds databases that real n8n versions have made, small enough to be part of the repository, with a
// manifest of each: its master key and every value that is encrypted in it, in the clear, as n8n itself has decrypted
// it. So `make test` can prove value by value what it does to a database, without an n8n.
//
// It is for tests only. Nothing in a recording is secret: keys, tokens and people are made up. tools/record makes them
// again; e2e/record says how.
package recorded

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed data/*.gz
var data embed.FS

// The values of Recording.Dialect: n8n/database has the same.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
	MySQL    = "mysql" // recorded on MariaDB
)

// Recording is one database.
type Recording struct {
	Name        string
	N8N         string // the version that made it
	Dialect     string
	Prefix      string // DB_TABLE_PREFIX
	Schema      string // DB_POSTGRESDB_SCHEMA; "" is public
	Master      string // N8N_ENCRYPTION_KEY
	Rotated     bool   // n8n's rotation was on: values without a prefix, and under two data keys
	Owner       Owner
	Waiting     string // the id of the one execution, which waits for its resume URL
	Values      []Value
	Credentials []Credential
	APIKeys     []APIKey
	DataKeys    []DataKey // none before n8n 2.20
}

// Owner is the one user, who has signed in with a second factor.
type Owner struct {
	Email, Password string
	MFASecret       string
	RecoveryCodes   []string
}

// Value is one encrypted value in the clear. All there are are listed, but for those of deployment_key.
type Value struct {
	Table  string   // without the prefix
	Column string   //
	Key    []string // the primary key of the row
	Path   string   // where in the cell: "" for the whole of it, else keys and indexes joined by dots
	Plain  string   // byte for byte
	By     string   // ByN8N or ByCipher
}

// Who has written a value.
const (
	ByN8N = "n8n" // n8n on its own, or told to by its REST API
	// n8n's class Cipher within the running n8n, for what its license keeps from a community instance
	ByCipher = "cipher"
)

// Credential is a row of credentials_entity; its plaintext is among the values too.
type Credential struct {
	ID, Name, Type string
	Data           json.RawMessage
}

// APIKey is a row of user_api_keys, where n8n keeps the key as it is.
type APIKey struct{ ID, Label, Raw string }

// DataKey is a row of deployment_key in the clear.
type DataKey struct{ ID, Type, Algorithm, Status, Plain string }

// All returns every recording, by name.
func All(t testing.TB) []Recording {
	t.Helper()
	manifests, err := fs.Glob(data, "data/*.json.gz")
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	all := make([]Recording, len(manifests))
	for i, name := range manifests {
		if err := json.Unmarshal(unpack(t, name), &all[i]); err != nil {
			t.Fatalf("reading the manifest %s: %v", name, err)
		}
	}
	return all
}

// Of returns the recordings of one dialect.
func Of(t testing.TB, dialect string) []Recording {
	t.Helper()
	var of []Recording
	for _, r := range All(t) {
		if r.Dialect == dialect {
			of = append(of, r)
		}
	}
	return of
}

// Named returns one recording.
func Named(t testing.TB, name string) Recording {
	t.Helper()
	var names []string
	for _, r := range All(t) {
		if r.Name == name {
			return r
		}
		names = append(names, r.Name)
	}
	t.Fatalf("no recording %q: there are %s", name, strings.Join(names, ", "))
	return Recording{}
}

// SQLite unpacks the database into a folder of the test's own and returns the file's path.
func (r Recording) SQLite(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "database.sqlite")
	if err := os.WriteFile(file, r.file(t, SQLite, ".sqlite.gz"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// SQL is a dump for an empty database of the dialect: psql or mariadb can load it, and so can one Exec of several
// statements. PostgreSQL's dump makes the schema itself, and leaves its connection without a search_path.
func (r Recording) SQL(t testing.TB) []byte {
	t.Helper()
	return r.file(t, r.Dialect, ".sql.gz")
}

func (r Recording) file(t testing.TB, dialect, extension string) []byte {
	t.Helper()
	if r.Dialect != dialect || (r.Dialect == SQLite) != (extension == ".sqlite.gz") {
		t.Fatalf("the recording %s is of %s", r.Name, r.Dialect)
	}
	return unpack(t, path.Join("data", r.Name+extension))
}

func unpack(t testing.TB, name string) []byte {
	t.Helper()
	packed, err := data.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatalf("unpacking %s: %v", name, err)
	}
	raw, err := io.ReadAll(reader)
	if err != nil {
		t.Fatalf("unpacking %s: %v", name, err)
	}
	return raw
}

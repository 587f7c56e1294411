package main

// The dialects.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
	mysql    = "mysql"
)

// Recipe says what is recorded.
type Recipe struct {
	Name    string
	Version string // of n8n
	Dialect string
	Master  string // N8N_ENCRYPTION_KEY, made up for this recording
	Prefix  string // DB_TABLE_PREFIX
	Schema  string // DB_POSTGRESDB_SCHEMA
	Rotated bool   // n8n's own rotation on, and a second data key made: values without a prefix, and with two
}

// settings are what every n8n of the recording is started with.
func (r Recipe) settings() []string {
	return []string{
		"N8N_ENCRYPTION_KEY=" + r.Master,
		"DB_TABLE_PREFIX=" + r.Prefix,
		"N8N_EXPRESSION_ENGINE=legacy", // the other needs a native module in versions before 2.41
	}
}

func recipes() []Recipe {
	return []Recipe{
		{Name: "2.41.1-sqlite", Version: "2.41.1", Dialect: sqlite, Master: "recorded-sqlite-2.41.1-0123456789abcdef"},
		{
			Name: "1.123.81-sqlite", Version: "1.123.81", Dialect: sqlite,
			Master: "kayıtlı-anahtar-ğüşiöç-ключ-鍵-🔑-1.123.81",
		},
		{
			Name: "2.41.1-sqlite-rotated", Version: "2.41.1", Dialect: sqlite,
			Master: "döndürülmüş-anahtar-ş-ключ-鍵-🔑-2.41.1", Rotated: true,
		},
		{
			Name: "2.41.1-postgres", Version: "2.41.1", Dialect: postgres,
			Master: "cmVjb3JkZWQtcG9zdGdyZXMtMi40MS4xLTAxMjM0NTY=",
		},
		{
			Name: "1.123.81-postgres", Version: "1.123.81", Dialect: postgres,
			Master: "recorded-postgres-1.123.81-0123456789",
		},
		{
			Name: "2.41.1-postgres-prefixed", Version: "2.41.1", Dialect: postgres,
			Master: "recorded-prefixed-2.41.1-0123456789", Prefix: "acme_", Schema: "automation", Rotated: true,
		},
		{Name: "1.123.81-mariadb", Version: "1.123.81", Dialect: mysql, Master: "recorded-mariadb-1.123.81-0123456789"},
		{Name: "2.30.8-sqlite", Version: "2.30.8", Dialect: sqlite, Master: "recorded-sqlite-2.30.8-0123456789abcdef"},
		{
			Name: "2.30.8-sqlite-rotated", Version: "2.30.8", Dialect: sqlite,
			Master: "recorded-rotated-2.30.8-0123456789abcdef", Rotated: true,
		},
		{Name: "2.16.1-sqlite", Version: "2.16.1", Dialect: sqlite, Master: "recorded-sqlite-2.16.1-0123456789abcdef"},
	}
}

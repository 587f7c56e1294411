package storetest

import (
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/archive"
)

// Kind tests what a kind of store says of itself, by the archives of testdata/config (archive.Configurations).
// internal/app opens the store "one" of opens.txtar, which may need what is in the archive alone.
func Kind(t *testing.T, kind secret.Kind) {
	t.Helper()
	archive.Configurations(t, config.Kinds{Stores: []secret.Kind{kind}}, "opens")
}

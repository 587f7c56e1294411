package file_test

import (
	"testing"

	"sallyport/internal/secret/file"
	"sallyport/internal/secret/storetest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { storetest.Kind(t, file.Kind()) }

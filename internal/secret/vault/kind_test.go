package vault_test

import (
	"testing"

	"sallyport/internal/secret/storetest"
	"sallyport/internal/secret/vault"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { storetest.Kind(t, vault.Kind()) }

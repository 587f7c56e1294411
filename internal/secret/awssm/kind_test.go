package awssm_test

import (
	"testing"

	"sallyport/internal/secret/awssm"
	"sallyport/internal/secret/storetest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { storetest.Kind(t, awssm.Kind()) }

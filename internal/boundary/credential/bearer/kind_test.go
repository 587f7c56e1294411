package bearer_test

import (
	"testing"

	"sallyport/internal/boundary/credential/bearer"
	"sallyport/internal/boundary/credential/credentialtest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { credentialtest.Kind(t, bearer.Kind()) }

// TestContract: what its settings make is what the contract of a credential says.
func TestContract(t *testing.T) { credentialtest.Run(t, bearer.Kind()) }

package oauth1_test

import (
	"testing"

	"sallyport/internal/boundary/credential/credentialtest"
	"sallyport/internal/boundary/credential/oauth1"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { credentialtest.Kind(t, oauth1.Kind()) }

// TestContract: what its settings make is what the contract of a credential says.
func TestContract(t *testing.T) { credentialtest.Run(t, oauth1.Kind()) }

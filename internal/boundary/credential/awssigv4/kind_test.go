package awssigv4_test

import (
	"testing"

	"sallyport/internal/boundary/credential/awssigv4"
	"sallyport/internal/boundary/credential/credentialtest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { credentialtest.Kind(t, awssigv4.Kind()) }

// TestContract: what its settings make is what the contract of a credential says.
func TestContract(t *testing.T) { credentialtest.Run(t, awssigv4.Kind()) }

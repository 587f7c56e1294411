package kubernetes_test

import (
	"testing"

	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/secret/storetest"
)

// TestKind: its configurations are answered as their files say.
func TestKind(t *testing.T) { storetest.Kind(t, kubernetes.Kind()) }

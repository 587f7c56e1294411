package generate_test

import (
	"testing"

	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/generate"
)

func TestKind(t *testing.T) { drivertest.Kind(t, generate.Kind()) }

package exec_test

import (
	"testing"

	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/exec"
)

func TestKind(t *testing.T) { drivertest.Kind(t, exec.Kind()) }

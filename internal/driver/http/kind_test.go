package httpdriver_test

import (
	"testing"

	"sallyport/internal/boundary/credential/bearer"
	"sallyport/internal/driver/drivertest"
	httpdriver "sallyport/internal/driver/http"
)

func TestKind(t *testing.T) { drivertest.Kind(t, httpdriver.Kind(), bearer.Kind()) }

package generate_test

import (
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/generate"
	"sallyport/internal/secret"
)

// TestContract holds the driver without a provider to the contract of drivers.
func TestContract(t *testing.T) {
	drivertest.Run(t, func(*testing.T) *drivertest.World {
		return &drivertest.World{
			Current: secret.NewValue([]byte("the-value-until-now")),
			Open: func(t *testing.T) driver.Driver {
				t.Helper()
				d, err := drivertest.Example(t, generate.Kind()).Open(t.Context(), driver.Host{})
				if err != nil {
					t.Fatal(err)
				}
				return d
			},
		}
	})
}

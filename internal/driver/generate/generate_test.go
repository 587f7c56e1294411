package generate_test

import (
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/driver/generate"
)

// TestCreate: each key is another value, as the settings say, and nothing but the value.
func TestCreate(t *testing.T) {
	d, err := (&generate.Settings{Length: 30, Alphabet: "lower"}).Open(t.Context(), driver.Host{})
	if err != nil {
		t.Fatal(err)
	}
	one, err := d.Create(t.Context(), driver.Job{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.Create(t.Context(), driver.Job{})
	if err != nil || one.Value.Equal(other.Value) || one.Value.Len() != 30 || one.Key.ID != "" {
		t.Errorf("got %d bytes, key %q (%v)", one.Value.Len(), one.Key.ID, err)
	}
	if d.Capabilities() != (driver.Capabilities{}) {
		t.Errorf("it can %+v, and has no provider", d.Capabilities())
	}
}

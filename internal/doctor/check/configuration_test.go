package check_test

import (
	"testing"

	"sallyport/internal/doctor"
)

func TestConfiguration(t *testing.T) {
	if r := one(t, "config", configured(t, "services: {openai: {preset: openai, secret: "+
		"ref+builtin://openai}}\n")); r.Status != doctor.OK {
		t.Errorf("got %+v", r.Seen)
	}
	on := configured(t, "listen: {gateway: nowhere}\nservices: {openai: {presett: openai}}\n")
	r := one(t, "config", on)
	if r.Status != doctor.Failed || r.Seen[0].Line == 0 || r.Seen[0].File == "" {
		t.Errorf("got %+v", r.Seen)
	}
	golden(t, "config", r, r.Seen[0].File, "FILE")
	r = one(t, "config", configured(t, "insecure: true\nlisten: {gateway: '0.0.0.0:8470'}\n"))
	has(t, r, doctor.Warning, "")
}

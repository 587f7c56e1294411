package httpdriver_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// TestOutcome: a refusal is one only where the API says that it did nothing, and all else is unclear.
func TestOutcome(t *testing.T) {
	const made = `{"api_key_id": "k", "api_key": "v", "name": "sallyport-crm-aaaaaaaaaaaaaaaaaaaa"}`
	for _, c := range []struct {
		status int
		body   string
		want   error
	}{
		{201, made, nil},
		{200, made, driver.ErrUnclear},
		{202, made, driver.ErrUnclear},
		{201, "", driver.ErrUnclear},
		{302, "", driver.ErrUnclear},
		{400, `{"errors": [{"message": "name is too short"}]}`, driver.ErrRefused},
		{401, "", driver.ErrRefused},
		{403, `{"errors": [{"message": "you are at your MAXIMUM of keys"}]}`, driver.ErrLimit},
		{403, `{"errors": [{"message": "access forbidden"}]}`, driver.ErrRefused},
		{404, "not JSON", driver.ErrRefused},
		{408, "", driver.ErrUnclear},
		{425, "", driver.ErrUnclear},
		{429, "", driver.ErrRefused},
		{500, made, driver.ErrUnclear},
		{503, "", driver.ErrUnclear},
	} {
		d := answering(t, "sendgrid", c.status, "", c.body)
		got, err := d.Create(t.Context(), driver.Job{Rotation: "crm", Run: strings.Repeat("a", 20)})
		if !errors.Is(err, c.want) || (err == nil) == got.Value.IsZero() {
			t.Errorf("%d %s: %v, want %v", c.status, c.body, err, c.want)
		}
		if c.status == 403 && errors.Is(c.want, driver.ErrRefused) &&
			(!strings.Contains(err.Error(), "access forbidden") || fault.HintOf(err) == "") {
			t.Errorf("a refusal says neither why nor what to do: %v", err)
		}
	}
}

// TestQuoted: what an API says of a call is shown without the secrets that it quotes, whole, in pieces, or in the forms
// of JSON and URLs, and without anything that looks like a key.
func TestQuoted(t *testing.T) {
	const secretText = `s3,cr"et/pa;rt<LONGER0123456789`
	current := secret.NewValue([]byte(`{"api_key": "` + strings.ReplaceAll(secretText, `"`, `\"`) + `"}`))
	for _, quoted := range []string{
		secretText, url.QueryEscape(secretText), url.PathEscape(secretText), strings.ReplaceAll(secretText, `"`, `\"`),
		"SG.aaaaaaaaa1.bbbb", "the long text" + strings.Repeat(" and more", 10_000) + secretText,
	} {
		message := map[string]string{"message": "not this: " + quoted + " at all"}
		body, err := json.Marshal(map[string]any{"errors": []any{message}})
		if err != nil {
			t.Fatal(err)
		}
		d := answering(t, "sendgrid", 400, "", string(body))
		_, err = d.Create(t.Context(), driver.Job{Rotation: "crm", Run: strings.Repeat("a", 20), Current: current})
		if !errors.Is(err, driver.ErrRefused) {
			t.Errorf("%v", err)
			continue
		}
		for _, part := range []string{"s3,", "cr", "pa;rt", "LONGER", "SG."} {
			if _, said, _ := strings.Cut(err.Error(), "answered 400"); strings.Contains(said, part) {
				t.Errorf("%q is in %v", part, err)
			}
		}
	}
}

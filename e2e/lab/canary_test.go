package lab_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"testing"

	"sallyport/e2e/lab"
)

func TestCanaryIsFound(t *testing.T) {
	canary := lab.NewCanary("sk")
	raw := string(canary)
	for name, text := range map[string]string{
		"raw":                  "a" + raw + "b",
		"query":                "?key=" + url.QueryEscape(raw),
		"hex":                  hex.EncodeToString([]byte("x" + raw + "x")),
		"base64":               base64.StdEncoding.EncodeToString([]byte(raw)),
		"base64, shifted":      base64.StdEncoding.EncodeToString([]byte("u:" + raw + "and more")),
		"base64, shifted by 1": base64.StdEncoding.EncodeToString([]byte("Bearer " + raw)),
		"base64url":            base64.URLEncoding.EncodeToString([]byte("user:" + raw)),
		"slash escaped":        "sk\\/" + raw[3:],
	} {
		if _, found := canary.In([]byte(text)); !found {
			t.Errorf("%s: not found in %q", name, text)
		}
	}
}

func TestCanaryIsNotFoundElsewhere(t *testing.T) {
	canary, other := lab.NewCanary("sk"), lab.NewCanary("sk")
	for _, text := range []string{"", string(other), base64.StdEncoding.EncodeToString([]byte(other)), "sk/"} {
		if form, found := canary.In([]byte(text)); found {
			t.Errorf("%s: found in %q", form, text)
		}
	}
}

package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// Canary is a secret of one test run, with the characters that encodings change in it.
type Canary string

// NewCanary makes one: nobody else has it, so a find is a leak.
func NewCanary(prefix string) Canary {
	random := make([]byte, 18)
	rand.Read(random)
	return Canary(prefix + "/" + hex.EncodeToString(random) + "+~=")
}

// In tells in which form, if any, the canary is in text: raw, URL-encoded, hex, base64 at any alignment.
func (c Canary) In(text []byte) (form string, found bool) {
	for form, needle := range c.forms() {
		if bytes.Contains(text, []byte(needle)) {
			return form, true
		}
	}
	return "", false
}

func (c Canary) forms() map[string]string {
	raw := string(c)
	forms := map[string]string{
		"raw":            raw,
		"query-escaped":  url.QueryEscape(raw),
		"path-escaped":   url.PathEscape(raw),
		"hex":            hex.EncodeToString([]byte(raw)),
		"upper-case hex": strings.ToUpper(hex.EncodeToString([]byte(raw))),
		// whatever became of the characters around it
		"random part": raw[strings.IndexByte(raw, '/')+1 : len(raw)-3],
	}
	for name, coding := range map[string]*base64.Encoding{
		"base64":    base64.StdEncoding,
		"base64url": base64.URLEncoding,
	} {
		for shift := range 3 {
			forms[fmt.Sprintf("%s at %d", name, shift)] = inner(coding, raw, shift)
		}
	}
	return forms
}

// inner is the part of raw's base64 that does not depend on its neighbours, when raw begins shift bytes into a group of
// three.
func inner(coding *base64.Encoding, raw string, shift int) string {
	encoded := coding.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", shift) + raw))
	first := (shift*8 + 5) / 6
	last := len(encoded)
	if (shift+len(raw))%3 != 0 {
		last--
	}
	return encoded[first:last]
}

package config

import (
	"fmt"

	"sallyport/internal/config/notation"
	"sallyport/internal/config/wording"
	"sallyport/internal/jsonpointer"
)

// probe checks what the service says of its probe.
func (k *checker) probe(s *Service, key string) {
	const set = "set test: {path: /some/harmless/path}"
	switch {
	case s.Probe.Off && s.Probe.Every > 0:
		k.fail(key+".every", "stands beside off: true", "keep one")
	case s.Probe.Every > 0 && s.Test == nil:
		k.fail(key+".every", "has no call to make: the service has no test", set)
	case s.Probe.Every > 0 && !probing(s.Test.Method):
		k.fail(key+".every", fmt.Sprintf("would repeat a %s: only GET and HEAD are called again and again",
			wording.Show(s.Test.Method)), set)
	}
}

// expires checks where a test call's response says when the credential expires.
func (k *checker) expires(e Expires, key string) {
	if e.Header != "" && e.Pointer != "" {
		k.fail(key, "has both header and pointer", "keep the one that the API sends")
	}
	if e.Header != "" && !notation.IsToken(e.Header) {
		k.fail(key+".header", "is not a header's name", "write it as GitHub-Authentication-Token-Expiration")
	}
	if e.Pointer != "" {
		if _, err := jsonpointer.Parse(e.Pointer); err != nil {
			k.fail(key+".pointer", err.Error(), "write it as /expires_at")
		}
	}
}

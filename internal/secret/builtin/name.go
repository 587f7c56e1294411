package builtin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// maxName is the length of the longest name, in bytes.
const maxName = 200

// ValidName tells whether name can be a secret's: 1 to 200 of A-Z a-z 0-9 . _ / - and no empty, "." or ".." segment.
func ValidName(name string) bool {
	if len(name) > maxName || !nameChars(name) {
		return false
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func nameChars(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._/-", r)
	})
}

func check(path string, value secret.Value) error {
	switch {
	case !ValidName(path):
		return fault.WithHint(errors.New("the name cannot be used"),
			"use up to 200 of A-Z a-z 0-9 . _ - in segments separated by '/', such as prod/stripe")
	case value.IsZero():
		return fault.WithHint(errors.New("the value is empty"), "`sallyport secret delete` removes a secret")
	case value.Len() > MaxValue:
		return fmt.Errorf("the value has %d bytes, and %d is the most", value.Len(), MaxValue)
	}
	return nil
}

// parseVersion reads a version strictly: one spelling per number, so that no other text names a version.
func parseVersion(version string) (int, error) {
	number, err := strconv.Atoi(version)
	if err != nil || number < 1 || strconv.Itoa(number) != version {
		return 0, fmt.Errorf("version %q: %w", version, secret.ErrVersionGone)
	}
	return number, nil
}

package install

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// DefaultName is what the versions of a key are called after, unless told otherwise.
const DefaultName = "n8n_encryption_key"

// Check refuses what is no master key, as `sallyport run` does, and returns the key as it is to be kept: without the
// blanks and line breaks around it, which n8n takes off too. doubt is what there is to say of a key that works, or "".
// snippet is how the target references a key that is in a file: it is the hint when someone gives the name instead of
// the key.
func Check(raw secret.Value, exists func(name string) bool, snippet string) (key secret.Value,
	doubt string, err error,
) {
	if !utf8.Valid(raw.Reveal()) || bytes.ContainsFunc(bytes.TrimSpace(raw.Reveal()), func(r rune) bool {
		return r < ' ' || r == 0x7f
	}) {
		return secret.Value{}, "", fault.WithHint(errors.New("the master key is not one line of text"),
			"is it the right file? n8n's key is text, such as `sallyport key generate` makes")
	}
	text := environment.Trim(string(raw.Reveal()))
	if problem, hint := environment.KeyProblem(text, exists); problem != "" {
		if environment.IsPath(text, exists) {
			hint = "to install what the file holds, give it as --key-file; n8n is then told of it like this:\n" +
				snippet
		}
		return secret.Value{}, "", fault.WithHint(fmt.Errorf("the master key %s", problem), hint)
	}
	if bare := environment.Normalize(text); environment.Normalize(bare) == bare {
		text = bare
	}
	return secret.NewValue([]byte(text)), environment.KeyDoubt(text), nil
}

var (
	plainName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,47}$`)
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,47}$`)
)

// named checks a name that versions are called after, "" for the default.
func named(name string, form *regexp.Regexp, allowed string) (string, error) {
	if name == "" {
		name = DefaultName
	}
	if !form.MatchString(name) {
		return "", fault.WithExit(fault.WithHint(fmt.Errorf("%q cannot be a name there", name),
			"use up to 48 of "+allowed), fault.ExitUsage)
	}
	return name, nil
}

// numberOf reads the number behind a beginning: 7 of n8n_encryption_key_v7.
func numberOf(name, beginning string) (int, bool) {
	digits, ok := strings.CutPrefix(name, beginning)
	if !ok || digits == "" || digits[0] < '1' || digits[0] > '9' {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

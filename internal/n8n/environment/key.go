package environment

import (
	"regexp"
	"slices"
	"strings"
)

// The variables of the master key.
const (
	KeyName     = "N8N_ENCRYPTION_KEY"
	KeyFileName = "N8N_ENCRYPTION_KEY_FILE"
)

// examples are master keys that documentation and templates show, in lower case.
var examples = []string{
	"super-secret-key", "supersecretkey", "my-secret-key", "mysecretkey", "secret-key",
	"secretkey", "secret", "password", "passw0rd",
	"encryption-key", "encryptionkey", "encryption_key", "n8n", "n8n-encryption-key", "n8n_encryption_key",
	"n8nencryptionkey",
	"your-encryption-key", "your_encryption_key", "your-secret-key", "your-encryption-key-here",
	"your_encryption_key_here",
	"my-encryption-key", "some-random-string", "some random string", "random-string", "a-random-string",
	"key", "test", "demo", "example",
	"12345678901234567890123456789012", "0123456789abcdef0123456789abcdef",
}

var (
	placeholder = regexp.MustCompile(
		`(?i)^(change[-_ ]?(me|this|it)([-_ ].*)?!*|to[-_ ]?do|fix[-_ ]?me|replace[-_ ]?(me|this|with.*)|tbd|x{3,}|\.{3,}|<[^<>]*>|your[-_ ].*[-_ ]here)$`)
	unexpanded = regexp.MustCompile(`^(\$\{[^}]*\}|\$\(.*\)|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}|%[A-Z_]+%)$`)
	plainPath  = regexp.MustCompile(`^(/[a-z0-9._-]+)+/?$`)
	knownRoot  = regexp.MustCompile(
		`^(/(run|var|etc|mnt|opt|home|root|data|tmp|usr|srv|secrets?|vault|files|app|dev|proc)/|\./|\.\./|~/|file:/)`)
)

// IsPlaceholder tells whether a value was left as a template has it: CHANGEME, TODO, <…>.
func IsPlaceholder(value string) bool { return placeholder.MatchString(Normalize(value)) }

// KeyProblem returns what is wrong with a master key as n8n reads it, and what to do; "" when nothing is. exists tells
// whether a file of that name is there.
func KeyProblem(value string, exists func(name string) bool) (problem, hint string) {
	key := Normalize(value)
	switch {
	case key == "":
		return "is empty: n8n would make a key of its own, other than the fleet's",
			"give it the key, or take the variable away"
	case isPath(key, exists):
		return "is the name of a file: n8n would encrypt with the name itself, not with what the file holds",
			"write " + KeyFileName + "=<that name>, or " + KeyName + "=ref+file://<that name>"
	case unexpanded.MatchString(key):
		return "is a variable or template that nothing has filled in", "let what starts the container fill it in, or " +
			"write a reference: ref+<store>://…"
	case placeholder.MatchString(key), slices.Contains(examples, strings.ToLower(key)):
		return "is an example that everybody knows", "make one with `sallyport key generate`, before n8n encrypts " +
			"anything with this one"
	}
	return "", ""
}

// isPath tells the name of a file from a random key, which in base64 may begin with a slash too.
func isPath(key string, exists func(string) bool) bool {
	if strings.ContainsAny(key, " \n") || !strings.ContainsAny(key, "/.") {
		return false
	}
	return knownRoot.MatchString(key) || plainPath.MatchString(key) || exists(key)
}

// shortKey is the length under which a key is doubtful, in bytes. n8n's own have 32.
const shortKey = 16

// KeyDoubt returns why a key that n8n will take is still doubtful, or "".
func KeyDoubt(value string) string {
	key := Normalize(value)
	distinct := make(map[rune]bool)
	for _, r := range key {
		distinct[r] = true
	}
	switch {
	case len(key) < shortKey:
		return "is shorter than 16 characters"
	case len(distinct) < shortKey/2:
		return "repeats the same few characters"
	}
	return ""
}

// IsPath tells whether a master key is the name of a file by its looks, or, for exists that is not nil, because there
// is one.
func IsPath(value string, exists func(name string) bool) bool {
	if exists == nil {
		exists = func(string) bool { return false }
	}
	return isPath(Normalize(value), exists)
}

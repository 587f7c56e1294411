package credential

import (
	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/secret"
)

// The pure functions of the kinds, for their tests.

// CookieValue is cookieValue.
func CookieValue(format string, value secret.Value) (string, error) {
	return cookieValue(format, value)
}

// WithCookie is withCookie.
func WithCookie(lines []string, name, value string) []string { return withCookie(lines, name, value) }

// CheckCookieName is checkCookieName.
func CheckCookieName(name string) error { return checkCookieName(name) }

// PathPrefix is pathPrefix.
func PathPrefix(format string, value secret.Value) (string, error) { return pathPrefix(format, value) }

// BodyValue is bodyValue.
func BodyValue(format string, value secret.Value) (string, error) { return bodyValue(format, value) }

// JSONField is jsonField with the pointer as configuration has it.
func JSONField(body []byte, pointer, value string) ([]byte, error) {
	steps, err := jsonpointer.Parse(pointer)
	if err != nil {
		return nil, err
	}
	out, f := jsonField(body, steps, value)
	return out, asError(f)
}

func asError(f *fault.Fault) error {
	if f == nil {
		return nil
	}
	return f
}

// FormField is formField.
func FormField(body []byte, name, value string) []byte { return formField(body, name, value) }

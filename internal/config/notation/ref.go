package notation

import (
	"errors"
	"strconv"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// ParseRef is secret.ParseRef with an error that never quotes: a person may have put ref+ before the secret itself.
// 1Password's notation and Secrets Manager's ARNs are understood as they stand.
func ParseRef(s string) (secret.Ref, error) {
	if strings.HasPrefix(s, "op://") || strings.HasPrefix(s, "arn:") {
		if ref, ok, err := secret.ParseAny(s); ok && err == nil {
			return ref, nil
		}
		return secret.Ref{}, fault.WithHint(errors.New("this is not a secret reference"),
			"want op://<vault>/<item>/<field>, the ARN of a secret, or ref+<store>://<path>#<field>")
	}
	ref, err := secret.ParseRef(s)
	switch {
	case err == nil:
		return ref, nil
	case !strings.HasPrefix(s, "ref+"):
		return ref, fault.WithHint(errors.New("this is not a secret reference"),
			"write ref+<store>://<path>#<field>, never the secret itself; `sallyport secret set NAME` puts it into "+
				"the store")
	}
	message := err.Error()
	if _, after, ok := strings.Cut(message, strconv.Quote(s)+": "); ok {
		message = after
	}
	if body := strings.TrimPrefix(s, "ref+"); len(body) > 3 && strings.Contains(message, body) {
		message = "want ref+<store>://<path>#<field>"
	}
	return ref, fault.WithHint(errors.New("this is not a secret reference"), message)
}

package credential

import (
	"sallyport/internal/secret"
)

// bearer is RFC 6750: Authorization: Bearer <secret>.
func bearer(s Spec, value secret.Value) (placement, error) {
	s.Header = authorization(s.Header)
	if s.Format == "" {
		s.Format = "Bearer " + placeholder
	}
	return header(s, value)
}

// header is any header in any format that holds the secret.
func header(s Spec, value secret.Value) (placement, error) {
	if err := checkHeaderBytes(value); err != nil {
		return placement{}, err
	}
	return placement{header: s.Slot().Header, values: []string{dress(s.Format, value)}}, nil
}

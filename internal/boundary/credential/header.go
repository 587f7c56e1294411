package credential

import (
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/secret"
)

// bearer is RFC 6750: Authorization: Bearer <secret>.
func bearer(s Spec, value secret.Value) (*Material, error) {
	s.Header = authorization(s.Header)
	if s.Format == "" {
		s.Format = "Bearer " + placeholder
	}
	return header(s, value)
}

// header is any header in any format that holds the secret.
func header(s Spec, value secret.Value) (*Material, error) {
	if err := checkHeaderBytes(value); err != nil {
		return nil, err
	}
	return &Material{
		header: s.Slot().Header,
		values: []string{dress(s.Format, value)},
		Forms:  scrub.Compile(value.Reveal()),
	}, nil
}

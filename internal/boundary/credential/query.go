package credential

import (
	"net/url"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/secret"
)

// query is a parameter of the URL. Any bytes can be carried: they are percent-encoded.
func query(s Spec, value secret.Value) *Material {
	return &Material{
		param: url.QueryEscape(s.Param) + "=" + url.QueryEscape(dress(s.Format, value)),
		Forms: scrub.Compile(value.Reveal()),
	}
}

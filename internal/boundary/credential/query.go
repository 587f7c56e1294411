package credential

import (
	"net/url"

	"sallyport/internal/secret"
)

// query is a parameter of the URL. Any bytes can be carried: they are percent-encoded.
func query(s Spec, value secret.Value) placement {
	return placement{param: url.QueryEscape(s.Param) + "=" + url.QueryEscape(dress(s.Format, value))}
}

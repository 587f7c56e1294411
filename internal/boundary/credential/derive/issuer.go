package derive

import (
	"errors"
	"net/url"
	"strings"

	"sallyport/internal/fault"
)

// CheckIssuer holds the issuer of a response of the consent page against the provider that this run asked (RFC 9207
// section 2.4), so that a code of one provider never goes to the token endpoint of another. Errors are answers too, and
// are held against it as well.
//
// Where the issuer is configured, the response must carry it, octet by octet: to configure it says that the provider
// announces it. Nothing is fetched to find that out: who lies in the response could have the metadata stay away. Where
// it is not configured, an issuer that the response carries must be on the host of the consent page; a response without
// one is taken, as most providers send none.
func (c *Connect) CheckIssuer(query url.Values) error {
	given, carried := query["iss"]
	switch {
	case len(given) > 1:
		return errors.New("the answer of the consent page names more than one issuer")
	case c.o.Issuer != "" && !carried:
		return fault.WithHint(
			errors.New("the answer of the consent page names no issuer (iss), and issuer is configured"),
			"if the provider's documentation or metadata do not announce "+
				"authorization_response_iss_parameter_supported, leave out `issuer` of the credential")
	case !carried:
		return nil
	case c.o.Issuer != "" && given[0] == c.o.Issuer, c.o.Issuer == "" && sameOrigin(given[0], c.o.AuthorizeURL):
		return nil
	}
	return fault.WithHint(
		errors.New("the answer of the consent page is from another issuer (iss) than this service's provider"),
		"nothing has changed. Someone may have mixed up two providers. If not, set `issuer` of the credential to the "+
			"issuer in the provider's own documentation or metadata")
}

// sameOrigin tells whether two URLs have one scheme, host and port.
func sameOrigin(a, b string) bool {
	x, err := url.Parse(a)
	if err != nil || x.Host == "" || x.User != nil {
		return false
	}
	y, err := url.Parse(b)
	return err == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Hostname(), y.Hostname()) && portOf(x) == portOf(y)
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

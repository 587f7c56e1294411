package credential

import (
	"errors"
	"net/http"
	"net/url"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/secret"
)

// Mint is what a Minter is made with.
type Mint struct {
	Reader

	Way func(*url.URL) (http.RoundTripper, error) // a guarded transport to a token endpoint
}

// Endpoint is a call to target, with further headers and parameters. Its error stays in m.
func (m *Mint) Endpoint(target string, headers, params map[string]secret.Value) derive.Endpoint {
	e := derive.Endpoint{URL: target, Headers: headers, Params: params}
	if m.Err != nil {
		return e
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		m.Err = errors.New("the URL of the token endpoint cannot be read")
		return e
	}
	e.Transport, m.Err = m.Way(u)
	return e
}

// Minted makes a Minter, if everything could be read.
func Minted[M derive.Minter](m *Mint, build func() (M, error)) (derive.Minter, error) {
	if m.Err != nil {
		return nil, m.Err
	}
	minter, err := build()
	if err != nil {
		return nil, err
	}
	return minter, nil
}

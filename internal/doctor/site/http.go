package site

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
)

// maxBody bounds what an endpoint may answer, in bytes.
const maxBody = 16 << 20

// JSON asks an endpoint with GET and reads its JSON into v. path begins with a slash; a path of the endpoint's own URL
// stays before it. No redirect is followed, and nothing that the endpoint said is quoted.
func (e Endpoint) JSON(ctx context.Context, path string, query url.Values, v any) error {
	roots, err := localfile.CertPool(e.CAFile)
	if err != nil {
		return fmt.Errorf("reading the CA for %s: %w", e.URL.Host, err)
	}
	u := *e.URL
	u.Path, u.RawQuery = strings.TrimSuffix(u.Path, "/")+path, query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", e.URL.Host, err)
	}
	if !e.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+string(e.Token.Reveal()))
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: 1 << 16,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}
	defer transport.CloseIdleConnections()
	c := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := c.Do(req)
	if err != nil {
		return fault.WithHint(fmt.Errorf("asking %s: %w", e.URL.Host, bare(err)),
			"is the address right, and the server up?")
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return fault.WithHint(fmt.Errorf("asking %s: it refuses with status %d", e.URL.Host, resp.StatusCode),
			"give it a token that may read")
	case resp.StatusCode != http.StatusOK:
		return fault.WithHint(fmt.Errorf("asking %s for %s: status %d", e.URL.Host, path, resp.StatusCode),
			"is it the server that it is said to be?")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("asking %s: reading its response: %w", e.URL.Host, bare(err))
	case len(body) > maxBody:
		return fmt.Errorf("asking %s: its response is larger than 16 MiB", e.URL.Host)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fault.WithHint(fmt.Errorf("asking %s for %s: what it answers is not understood", e.URL.Host, path),
			"is it the server that it is said to be?")
	}
	return nil
}

// bare is an error of a request without the URL around it, which may have a password in it.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

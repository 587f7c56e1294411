package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const (
	// maxAnswer is the longest answer that is read: a value of 1 MiB may be six times as long in JSON, a list of
	// secrets more.
	maxAnswer = 32 << 20
	// workers is how many requests of one batch or list are under way at once.
	workers = 16
)

// client sends requests to one Vault and reads its answers.
type client struct {
	base      *url.URL
	namespace string
	http      *http.Client
}

// request is what to ask of Vault. The path comes without /v1/ and unescaped.
type request struct {
	method string
	path   string
	query  url.Values
	body   any // marshalled to JSON; nil for none
}

// The headers that Vault reads.
const (
	headerRequest   = "X-Vault-Request"
	headerNamespace = "X-Vault-Namespace"
	headerToken     = "X-Vault-Token"
)

// reply is what Vault answers, of any kind.
type reply struct {
	RequestID     string         `json:"request_id"`
	LeaseID       string         `json:"lease_id"`
	LeaseDuration int            `json:"lease_duration"` // seconds
	Renewable     bool           `json:"renewable"`
	Data          map[string]any `json:"data"`
	Warnings      []string       `json:"warnings"`
	Auth          *granted       `json:"auth"`   // of a login and of a renewal
	Errors        []string       `json:"errors"` // never shown: they may quote what was sent
}

// granted is a token that Vault gives.
type granted struct {
	ClientToken   string `json:"client_token"`
	LeaseDuration int    `json:"lease_duration"` // seconds
	Renewable     bool   `json:"renewable"`
}

// isVaults tells an answer that nothing is there from one of something in between, which must not end the use of a
// secret.
func (r reply) isVaults() bool {
	return r.Errors != nil || r.Data != nil || r.Warnings != nil || r.RequestID != ""
}

func newClient(o Options) (*client, error) {
	base, err := url.Parse(strings.TrimRight(o.Address, "/"))
	if err != nil {
		return nil, errors.New("the address of vault cannot be used")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.CAPool}
	if o.Cert != nil {
		pair := o.Cert.Certificate
		// Vault names the authorities that its listener knows, and these need not be those of the auth method.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy:                  nil, // the environment is not read
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    workers,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &client{base: base, namespace: strings.Trim(o.Namespace, "/"), http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// send asks with token, or without one when it is zero. The error is an *answerError when Vault answered with anything
// but success, and otherwise says why there is no answer.
func (c *client) send(ctx context.Context, r request, token secret.Value) (reply, error) {
	req, err := c.build(ctx, r, token)
	if err != nil {
		return reply{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, c.unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return reply{}, unavailable("the response of vault broke off",
			"something between here and vault cuts connections, or vault is stopping")
	case len(body) > maxAnswer:
		return reply{}, unavailable(fmt.Sprintf("the response is longer than %d bytes", maxAnswer), notVault)
	}
	return c.read(resp.StatusCode, body)
}

func (c *client) build(ctx context.Context, r request, token secret.Value) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		b, err := marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	u := *c.base
	u.Path, u.RawPath = u.Path+"/v1/"+r.path, ""
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(headerRequest, "true") // Vault Agent may ask for it
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.namespace != "" {
		req.Header.Set(headerNamespace, c.namespace)
	}
	if !token.IsZero() {
		req.Header.Set(headerToken, string(token.Reveal()))
	}
	return req, nil
}

// read makes sense of an answer that has come in whole.
func (c *client) read(status int, body []byte) (reply, error) {
	var r reply
	isJSON := len(bytes.TrimSpace(body)) == 0 && status == http.StatusNoContent
	if !isJSON {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		var trailing json.RawMessage
		isJSON = dec.Decode(&r) == nil && errors.Is(dec.Decode(&trailing), io.EOF)
	}
	switch {
	case status >= 300 && status < 400:
		return reply{},
			unavailable(fmt.Sprintf("vault answered with a redirect (%d), which is not followed with a token", status),
				"give the address of the active node, or of a load balancer that asks /v1/sys/health")
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return reply{}, &answerError{status: status, reply: r}
	case !isJSON, status == http.StatusNotFound && !r.isVaults():
		return reply{}, unavailable(fmt.Sprintf("the response (%d) is not one of vault's", status), notVault)
	case status < 200 || status >= 300:
		return r, &answerError{status: status, reply: r}
	}
	return r, nil
}

const notVault = "see what listens at the store's address: http where https is meant, a proxy's error page, another " +
	"path in front of /v1"

func (c *client) unreachable(err error) error {
	if asURL, ok := errors.AsType[*url.Error](err); ok {
		err = asURL.Err
	}
	hint := "is vault running at " + c.base.Redacted() + ", and may this host reach it?"
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		hint = "name the authority that signed vault's certificate in ca_file of the store"
	case errors.Is(err, http.ErrSchemeMismatch):
		hint = "vault does not speak TLS there: write the address with http://, or turn on TLS in vault"
	case errors.Is(err, context.DeadlineExceeded):
		err = errors.New("vault did not answer in time")
	}
	return fault.WithHint(fmt.Errorf("%w: %w", secret.ErrUnavailable, err), hint)
}

// marshal is json.Marshal without the escapes for HTML, so that values keep their length.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

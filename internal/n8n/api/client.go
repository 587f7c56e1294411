// Package api pushes a new value into one credential of a running n8n: the Header Auth credential that holds the proxy
// token.
//
// It knows how n8n is told (the public API of 2.x, the command line of 1.x) and what n8n answers. It does not know when
// to push, whether the value works, or what happens to the old one: that is the rotation's business.
//
// Invariant: the value leaves towards Config.URL (or the standard input of Config.CLI) and nowhere else. No redirect is
// followed, and neither the value nor the API key is part of any error, whatever n8n answers.
package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// timeout bounds one push over the API, whatever the context says.
const timeout = 30 * time.Second

// Config says which n8n, and which credential in it.
type Config struct {
	// where n8n's editor and API are, such as http://n8n-main:5678; a path prefix is kept; "": CLI only
	URL        string
	APIKey     secret.Value   // a public API key; the scope credential:update is enough when Credential is an id
	Credential string         // id, or exact name; a name needs the scope credential:list too
	CACertPool *x509.CertPool // trusted for https instead of the system's; nil: the system's
	HTTP       *http.Client   // nil: one with strict time-outs and no proxy
	// for n8n before 2.3: how to run its command line, such as ["docker","exec","-i","n8n","n8n"]; stdin is used
	CLI []string
}

// LockState tells whether n8n keeps the credential for the gate's host alone (allowedHttpRequestDomains).
type LockState string

// The lock states. n8n never tells what is set, so what this push did not set itself is unknown. It is unknown, too,
// after a push over the command line: n8n 1.123.81 stores the lock and holds redirects to it, but not the call itself.
const (
	Locked   LockState = "locked"
	Unlocked LockState = "unlocked"
	Unknown  LockState = "unknown"
)

// The ways a value gets into n8n.
const (
	MethodAPI = "api" // PATCH /api/v1/credentials/{id}, n8n 2.3 and later
	MethodCLI = "cli" // n8n import:credentials
)

// Result tells what a push did.
type Result struct {
	CredentialID string
	Locked       LockState
	Method       string
}

// Client pushes into one credential. It is safe for concurrent use and keeps nothing between calls.
type Client struct {
	base       *url.URL // nil: command line only
	key        secret.Value
	credential string
	http       *http.Client
	cli        []string
}

// New checks the configuration. It calls nobody.
func New(c Config) (*Client, error) {
	var base *url.URL
	if c.URL != "" || len(c.CLI) == 0 {
		var err error
		if base, err = parseBase(c.URL); err != nil {
			return nil, err
		}
	}
	if c.Credential == "" || strings.ContainsFunc(c.Credential, isControl) {
		return nil, fault.WithHint(errors.New("no n8n credential is named"),
			"set `credential` to the credential's id or exact name in n8n")
	}
	if c.APIKey.IsZero() && len(c.CLI) == 0 {
		return nil, fault.WithHint(errors.New("no API key for n8n"),
			"in n8n: Settings, API, a key with the single scope credential:update; name it under `api_key`")
	}
	if strings.ContainsFunc(string(c.APIKey.Reveal()), isControl) {
		return nil, fault.WithHint(errors.New("the API key for n8n has a control character in it"),
			"store it again without a line end")
	}
	return &Client{base: base, key: c.APIKey, credential: c.Credential, http: httpClient(c), cli: c.CLI}, nil
}

func parseBase(raw string) (*url.URL, error) {
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fault.WithHint(errors.New("the URL of n8n is not an http or https address"),
			"set `url` to where n8n's editor answers, such as http://n8n-main:5678")
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fault.WithHint(errors.New("the URL of n8n has a user, a query or a fragment"),
			"set `url` to scheme, host, port and path prefix alone")
	}
	return base, nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// httpClient follows no redirect: n8n's API has none, and the API key would go along.
func httpClient(c Config) *http.Client {
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: c.CACertPool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  timeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true, // a push a day needs no idle connection
	}}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// identifier is what n8n's ids look like: 16 letters and digits, or a number from its first years.
var identifier = regexp.MustCompile(`^([A-Za-z0-9]{16}|[0-9]{1,9})$`)

// Push writes value into the credential and, when lockTo is not empty, locks the credential to that host in the same
// call, so that no workflow can send it elsewhere. n8n compares host names: a port in lockTo is dropped. All other
// fields stay.
//
// It is idempotent. An error that implements Refused() bool, and returns true from it, says that n8n certainly still
// has the old value; after any other error n8n may hold either.
func (c *Client) Push(ctx context.Context, value secret.Value, lockTo string) (Result, error) {
	if value.IsZero() {
		return Result{}, errors.New("pushing to n8n: there is no value")
	}
	result, err := c.push(ctx, value, hostname(lockTo))
	if err != nil {
		return Result{}, fmt.Errorf("writing credential %q of n8n: %w", c.credential, err)
	}
	return result, nil
}

func (c *Client) push(ctx context.Context, value secret.Value, lockTo string) (Result, error) {
	if c.base == nil || c.key.IsZero() {
		return c.importValue(ctx, value, lockTo)
	}
	apiCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result, err := c.patchByIDOrName(apiCtx, value, lockTo)
	if !isTooOld(err) {
		return result, err
	}
	if len(c.cli) == 0 {
		return Result{}, fault.WithHint(err,
			"n8n 2.3 and later can be told over its API; for an older one set `cli` to how its command line is run, "+
				"such as [docker, exec, -i, n8n, n8n]")
	}
	return c.importValue(ctx, value, lockTo)
}

// hostname is host without its port, the way n8n compares: an IPv6 address in brackets (URL.hostname of the WHATWG).
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "[" + host + "]"
	}
	return host
}

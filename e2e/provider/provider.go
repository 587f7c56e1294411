// Package provider runs tools/oauth for the end-to-end tests: a real OAuth 2.0 server, in a process of its own. It
// knows nothing of Sallyport.
package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sallyport/e2e/process"
)

// Registration is who may ask for tokens.
type Registration struct {
	Clients []Client `json:"clients"`
	Issuers []Issuer `json:"issuers"`
}

// Client is a registered client.
type Client struct {
	ID string `json:"id"`
	// client_secret_basic, client_secret_post, private_key_jwt: the one way that is taken
	Auth      string   `json:"auth"`
	Secret    string   `json:"secret,omitempty"`
	Key       string   `json:"key,omitempty"` // public, PEM
	Grants    []string `json:"grants"`
	Scopes    []string `json:"scopes"`
	Redirects []string `json:"redirects,omitempty"`
}

// Issuer may sign assertions for one subject.
type Issuer struct {
	Name    string   `json:"name"`
	Subject string   `json:"subject"`
	Key     string   `json:"key"` // public, PEM
	Scopes  []string `json:"scopes"`
}

// Record is what has happened.
type Record struct {
	Minted  map[string]int // access tokens by client, or by subject where there was none
	Refused map[string]int // requests for tokens, by client and error code
	Reused  int            // of them, refresh tokens that had been used before: each has revoked its grant
	Tokens  []string       // every token that was ever given: access, refresh, ID
	Refresh []string       // of them, the refresh tokens, in order
}

// Provider is the running server.
type Provider struct {
	*process.Process
	URL string // its endpoints are /authorize, /token, /introspect
}

// Build compiles the server from the repository at root into folder and returns its path.
func Build(ctx context.Context, root, folder string) (string, error) {
	binary := filepath.Join(folder, "oauth")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	cmd.Dir = filepath.Join(root, "tools", "oauth") // a module of its own
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the OAuth server: %w\n%s", err, out)
	}
	return binary, nil
}

// Start starts the server, whose access tokens live for so long.
func Start(ctx context.Context, binary string, lifetime time.Duration, who Registration) (*Provider, error) {
	in, err := json.Marshal(who)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, "-access", lifetime.String())
	cmd.Stdin = bytes.NewReader(in)
	p := &Provider{}
	if p.Process, err = process.Start(cmd); err != nil {
		return nil, err
	}
	const ready = "listening on "
	if err := p.AwaitLog(ctx, time.Minute, ready); err != nil {
		p.Down()
		return nil, err
	}
	_, rest, _ := strings.Cut(string(p.Log()), ready)
	p.URL, _, _ = strings.Cut(rest, "\n")
	return p, nil
}

// Down ends it. Its tokens are gone then.
func (p *Provider) Down() { p.Stop(syscall.SIGTERM) }

// SetLifetime is for access tokens from now on.
func (p *Provider) SetLifetime(ctx context.Context, lifetime time.Duration) error {
	return p.call(ctx, http.MethodPost, "/lab/lifetime/"+lifetime.String(), nil)
}

// Expire ends every access token that there is, but no refresh token.
func (p *Provider) Expire(ctx context.Context) error {
	return p.call(ctx, http.MethodPost, "/lab/expire", nil)
}

// Record returns what has happened so far.
func (p *Provider) Record(ctx context.Context) (r Record, err error) {
	return r, p.call(ctx, http.MethodGet, "/lab/record", &r)
}

// Spend spends a refresh token, as a thief would who has the client's secret too. It returns the answer's status.
func (p *Provider) Spend(ctx context.Context, client, secret, refresh string) (status int, err error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func (p *Provider) call(ctx context.Context, method, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, p.URL+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("the OAuth server answered %s with %d: %s", path, resp.StatusCode, body)
	case out == nil:
		return nil
	}
	return json.Unmarshal(body, out)
}

package nodes

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/program"
	"sallyport/internal/secret"
)

// Agents are the settings for asking agents.
type Agents struct {
	Token    secret.Value
	Roots    *x509.CertPool // nil: the system's
	Insecure bool           // plain http beyond loopback
}

// FingerprintPath is where an agent answers.
const FingerprintPath = "/v1/fingerprint"

// maxAnswer bounds what an agent answers, and what a node writes to a file, in bytes.
const maxAnswer = 64 << 10

// agent asks `sallyport key agent`.
type agent struct {
	url    string
	token  secret.Value
	client *http.Client
}

func newAgent(text string, s Agents) (Asker, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("that is no address of an agent: want https://HOST:PORT alone")
	case strings.Trim(u.Path, "/") != "":
		return nil, errors.New("that is no address of an agent: it has no path")
	case u.Scheme == "http" && !s.Insecure && !isLoopback(u.Hostname()):
		return nil, fault.WithHint(errors.New("the token would go over the network in the clear"),
			"use https (`sallyport key agent --cert F --key F`), or --insecure")
	case s.Token.IsZero():
		return nil, fault.WithHint(errors.New("an agent wants a token"), "--agent-token-file FILE")
	}
	u.Path = FingerprintPath
	transport := &http.Transport{ // without a proxy: it would see the token on plain http
		TLSClientConfig:   &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
	return agent{u.String(), s.Token, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// isLoopback tells whether what is sent to a host stays in this machine.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (agent) Way() string { return "agent" }

func (a agent) Ask(ctx context.Context, q Question) (masterkey.Local, error) {
	if q.Workflow != "" {
		return masterkey.Local{}, fault.WithHint(errors.New("an agent executes no workflow"),
			"ask this node in another way, or leave --execute away")
	}
	body, err := json.Marshal(map[string]string{"nonce": q.Nonce})
	if err != nil {
		return masterkey.Local{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return masterkey.Local{}, errors.New("that is no address of an agent")
	}
	req.Header.Set("Authorization", "Bearer "+string(a.token.Reveal()))
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return masterkey.Local{}, unreachable(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return masterkey.Local{}, unreachable(err)
	case resp.StatusCode == http.StatusUnauthorized:
		return masterkey.Local{}, fault.WithHint(errors.New("the agent refuses the token"),
			"give --agent-token-file the file that the agent has")
	case resp.StatusCode == http.StatusTooManyRequests:
		return masterkey.Local{}, fault.WithHint(errors.New("the agent is asked too often"), "ask it again in a moment")
	case resp.StatusCode != http.StatusOK:
		return masterkey.Local{}, fault.WithHint(fmt.Errorf("it answers with status %d", resp.StatusCode),
			"see whether `sallyport key agent` listens there")
	}
	return Parse(content)
}

// unreachable keeps of an error what people need: not the whole address again.
func unreachable(err error) error {
	if bare, ok := errors.AsType[*url.Error](err); ok {
		err = bare.Err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.WithHint(fmt.Errorf("the agent cannot be reached: %s", program.Clean(err.Error())),
		"see whether `sallyport key agent` listens there; --agent-ca FILE names a private CA")
}

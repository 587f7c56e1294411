package nomad

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
	"sallyport/internal/fleet"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

const (
	callTime = 10 * time.Second
	// maxAnswer bounds an answer, in bytes: a job of the largest kind with all its versions.
	maxAnswer = 16 << 20

	defaultAddress = "http://127.0.0.1:4646"
)

// Options say which groups, and of which cluster.
type Options struct {
	Address    string // "" is http://127.0.0.1:4646; unix:///PATH is a socket, such as a task's own
	Namespace  string // "" is default
	Region     string // "" is the agent's
	CA         string // file in PEM; "" is the system's authorities
	Cert, Key  string // files in PEM; "" is no certificate of ours
	ServerName string // in the server's certificate, such as server.global.nomad
	// Token is the ACL token of each call; nil: access control is off.
	Token  func(ctx context.Context) (secret.Value, error)
	Groups []string // JOB/GROUP, in the order of restart
}

// client speaks with one server or agent. It follows no redirect and uses no proxy.
type client struct {
	http              *http.Client
	address           *url.URL
	token             func(ctx context.Context) (secret.Value, error)
	namespace, region string
}

func newClient(o Options) (*client, error) {
	address := o.Address
	if address == "" {
		address = defaultAddress
	}
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10}
	if socket, ok := strings.CutPrefix(address, "unix://"); ok {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
		address = defaultAddress
	}
	u, err := url.Parse(address)
	if problem := CheckAddress(address); problem != "" || err != nil {
		return nil, fault.WithHint(errors.New("the address "+problem), hintAddress)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName}
	if config.RootCAs, err = localfile.CertPool(o.CA); err != nil {
		return nil, fmt.Errorf("reading its certificate authority: %w", err)
	}
	if o.Cert != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fault.WithHint(errors.New("the certificate and its key do not fit together, or cannot be read"),
				"see `cert` and `key` of the fleet: files in PEM")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport.TLSClientConfig = config
	c := &client{address: u, token: o.Token, namespace: o.Namespace, region: o.Region}
	if c.namespace == "" {
		c.namespace = "default"
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return c, nil
}

const hintAddress = "write https://HOST:4646, unix:///PATH, or http://127.0.0.1:4646 on this machine alone"

// CheckAddress is what is wrong with an address, or "". A token goes over no network in the clear.
func CheckAddress(address string) string {
	if strings.HasPrefix(address, "unix:///") {
		return ""
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https":
		return "is not one"
	case u.Scheme == "http" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return "is beyond this machine without TLS: the token would go in the clear"
	}
	return ""
}

// Close lets go of the connections.
func (c *client) Close() error { c.http.CloseIdleConnections(); return nil }

func (c *client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// call makes one request. into may be nil.
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := c.request(limited, method, path, body)
	if err != nil {
		return err
	}
	status, answer, err := c.do(req)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case err != nil && limited.Err() != nil:
		return fleet.Unreachable("Nomad did not answer in time", "see whether `nomad server members` answers")
	case err != nil:
		return unreachable(err)
	case status != http.StatusOK:
		return explain(status, method)
	case into != nil && json.Unmarshal(answer, into) != nil:
		return notUnderstood()
	}
	return nil
}

func (c *client) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	at := *c.address.JoinPath("v1")
	at = *at.JoinPath(path)
	query := url.Values{"namespace": {c.namespace}}
	if c.region != "" {
		query.Set("region", c.region)
	}
	at.RawQuery = query.Encode()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, notUnderstood()
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(text))
	if err != nil {
		return nil, gone()
	}
	if c.token == nil {
		return req, nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading Nomad's token: %w", err)
	}
	req.Header.Set("X-Nomad-Token", strings.TrimSpace(string(token.Reveal())))
	return req, nil
}

func (c *client) do(req *http.Request) (status int, answer []byte, err error) {
	resp, err := c.http.Do(req) //nolint:gosec // the address is of the configuration
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if len(answer) > maxAnswer {
		return 0, nil, errors.New("its answer is too large")
	}
	return resp.StatusCode, answer, err
}

// errRefused is a request that Nomad did not take.
var errRefused = errors.New("the change is not taken")

func notUnderstood() error {
	return fleet.Unreachable("the answer is not understood", "is the address that of a Nomad agent?")
}

// unreachable tells a certificate that is not trusted from a server that is not there. What else the client says has
// the address in it, and a server's certificate, which are no secrets, and no help either.
func unreachable(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fleet.Unreachable("its certificate is not trusted",
			"name the cluster's authority with `ca`, and the name in the certificate with `server_name`, such as "+
				"server.global.nomad")
	}
	return fleet.Unreachable("Nomad cannot be reached", "does the agent run, and is `address` of the fleet right?")
}

func explain(status int, method string) error {
	switch {
	case status == http.StatusNotFound:
		return gone()
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		needs := `"list-jobs", "read-job"`
		if method != http.MethodGet {
			needs += `, "submit-job"`
		}
		return fault.WithHint(fmt.Errorf("%w: to its token", fleet.ErrNotAllowed),
			"its policy needs: namespace \"NAME\" { capabilities = ["+needs+"] }; docs/fleet.md has it")
	case status/100 == 3:
		return fleet.Unreachable("it answers with a redirect", "write the address that it leads to")
	case method != http.MethodGet && (status == http.StatusInternalServerError || status == http.StatusBadRequest):
		return fault.WithHint(errRefused, "see the log of Nomad's servers, and what `nomad job plan` says")
	}
	return fleet.Unreachable(fmt.Sprintf("Nomad answered %d", status), "see the log of Nomad's servers")
}

package azurekv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

const maxAnswer = 16 << 20 // bytes

// transport carries requests to one host, follows no redirect, and reads no endless answer.
type transport struct {
	host   string
	client *http.Client
}

func newTransport(host string, pool *x509.CertPool) *transport {
	return &transport{host: host, client: newClient(pool)}
}

func newClient(pool *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    listCalls,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: 256 << 10,
			TLSClientConfig:        &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// identity carries what the SDK asks identity providers, wherever the environment says that they are, within the same
// bounds: the SDK's own client follows redirects with a client's secret, and reads an answer whole however long it is.
type identity struct{ client *http.Client }

// Do implements policy.Transporter.
func (i identity) Do(r *http.Request) (*http.Response, error) {
	resp, err := i.client.Do(r) //nolint:gosec // the SDK's own request
	if err != nil {
		return nil, err
	}
	bound(resp)
	return resp, nil
}

func bound(resp *http.Response) {
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
}

// errElsewhere is a link of the answer that leads to another host; it does not get the token.
var errElsewhere = errors.New("the response leads to another host")

// finalError tells the SDK not to ask again.
type finalError struct{ error }

func (finalError) NonRetriable()   {}
func (f finalError) Unwrap() error { return f.error }

// isHarmless tells a challenge that the SDK reads without ending the process: one whose authority has a tenant, or none
// at all.
func isHarmless(challenge string) bool {
	for part := range strings.SplitSeq(strings.ReplaceAll(challenge, "Bearer ", ""), " ") {
		key, authority, _ := strings.Cut(part, "=")
		if key == "authorization" && strings.Trim(authority, `",`) != "" && strings.Count(authority, "/") < 3 {
			return false
		}
	}
	return true
}

// Do implements policy.Transporter.
func (t *transport) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" || r.URL.Host != t.host {
		return nil, finalError{errElsewhere}
	}
	resp, err := t.client.Do(r) //nolint:gosec // the host is the configured one, see above
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && !isHarmless(resp.Header.Get("WWW-Authenticate")) {
		resp.Header.Del("WWW-Authenticate")
	}
	bound(resp)
	return resp, nil
}

// named marks what goes wrong in getting a token, so that it is told apart from what the vault answers.
type named struct{ azcore.TokenCredential }

func (n named) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := n.TokenCredential.GetToken(ctx, o)
	if err != nil {
		return azcore.AccessToken{}, &tokenError{err}
	}
	return token, nil
}

type tokenError struct{ error }

func (t *tokenError) Unwrap() error { return t.error }

// chain is the default chain, or the part of it that a client id has a meaning for.
func chain(tenant, client string) (azcore.TokenCredential, error) {
	private := isPrivate(os.Getenv("AZURE_AUTHORITY_HOST"))
	options := policy.ClientOptions{Transport: identity{newClient(nil)}}
	if client == "" {
		return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: options,
			TenantID:      tenant, DisableInstanceDiscovery: private,
		})
	}
	var sources []azcore.TokenCredential
	if env, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
		ClientOptions:            options,
		DisableInstanceDiscovery: private,
	}); err == nil {
		sources = append(sources, env)
	}
	if workload, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: options, ClientID: client, TenantID: tenant, DisableInstanceDiscovery: private,
	}); err == nil {
		sources = append(sources, workload)
	}
	managed, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: options, ID: azidentity.ClientID(client),
	})
	if err != nil {
		return nil, err
	}
	return azidentity.NewChainedTokenCredential(append(sources, managed), nil)
}

// isPrivate tells an authority of one's own, about which Microsoft's cannot be asked.
func isPrivate(authority string) bool {
	if authority == "" {
		return false
	}
	for _, known := range []string{
		"microsoftonline.com", "microsoftonline.us", "chinacloudapi.cn",
		"partner.microsoftonline.cn",
	} {
		if strings.HasSuffix(strings.TrimRight(authority, "/"), known) {
			return false
		}
	}
	return true
}

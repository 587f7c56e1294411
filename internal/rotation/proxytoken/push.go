package proxytoken

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/n8n/api"
	"sallyport/internal/secret"
)

// gateOf is the gate as n8n reaches it; n8n's credential is locked to its host.
func (r *Rotator) gateOf(ctx context.Context, push *config.PushN8N) (*url.URL, error) {
	if push.Gate != nil {
		return push.Gate, nil
	}
	u, err := r.Gateway(ctx)
	if err != nil { // none here: another replica's, at the same address
		u = &url.URL{Scheme: "http", Host: r.Config.Listen.Gateway}
		if r.Config.TLS.Enabled() {
			u.Scheme = "https"
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "" || err == nil && ip.IsUnspecified() {
		return nil, fault.WithHint(fmt.Errorf("nothing says how n8n reaches the gate, which listens on %s", u.Host),
			"set `gate` beside `url`: n8n's credential is locked to its host")
	}
	return u, nil
}

// n8n is rotation's Consumer for a Header Auth credential.
type n8n struct {
	client *api.Client
	host   string
}

func (r *Rotator) n8n(ctx context.Context, push *config.PushN8N, host string) (*n8n, error) {
	var key secret.Value
	var err error
	if !push.APIKey.IsZero() && push.URL != nil {
		if key, _, err = r.Resolve(ctx, push.APIKey); err != nil {
			return nil, err
		}
	}
	pool, err := localfile.CertPool(push.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	base := &url.URL{Scheme: "http", Host: "localhost"} // with a command line alone nobody calls it
	if push.URL != nil {
		base = push.URL
	}
	client, err := api.New(api.Config{
		URL: base.String(), APIKey: key, Credential: push.Credential,
		CACertPool: pool, CLI: push.CLI,
	})
	return &n8n{client, host}, err
}

// Set implements rotation.Consumer.
func (n *n8n) Set(ctx context.Context, value secret.Value) (string, error) {
	result, err := n.client.Push(ctx, value, n.host)
	if err != nil {
		return "", err
	}
	if result.Locked == api.Locked {
		return fmt.Sprintf("n8n's credential %s has the new value and is locked to %s",
			result.CredentialID, n.host), nil
	}
	return fmt.Sprintf("n8n's credential %s has the new value, but it is NOT known to be locked to %s: a workflow "+
		"could send the token elsewhere; "+
		"set Allowed HTTP Request Domains in n8n", result.CredentialID, n.host), nil
}

package assemble

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
	"sallyport/internal/secret"
)

// parts makes what goes onto the requests of a service, in order.
func (a *Assembler) parts(ctx context.Context, svc *service.Service, of *Secrets) ([]credential.Part, error) {
	placements := svc.Config.Placements()
	parts := make([]credential.Part, len(placements))
	for i := range placements {
		c := &placements[i]
		p := credential.Part{Spec: svc.Specs[i]}
		for _, ref := range c.Refs() {
			if label := of.values[ref].label; !slices.Contains(p.Versions, label) {
				p.Versions = append(p.Versions, label)
			}
		}
		var err error
		switch settings := c.Settings.(type) {
		case credential.Minting:
			err = a.derivedPart(ctx, svc, i, of, &p)
		case credential.Building:
			err = settings.Build(of.Reader(), &p)
		default:
			err = fmt.Errorf("credentials of kind %q put nothing onto a request", c.Kind)
		}
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	if known := of.values[svc.Config.ProxySecret].value; len(parts) > 0 && !known.IsZero() {
		_, password, _ := bytes.Cut(known.Reveal(), []byte{':'})
		parts[0].Hidden = append(parts[0].Hidden, known, secret.NewValue(password))
	}
	return parts, nil
}

// derivedPart finds the Source of a derived credential, or makes it. What it mints with must not come back either.
func (a *Assembler) derivedPart(ctx context.Context, svc *service.Service, index int, of *Secrets,
	p *credential.Part,
) error {
	c := &svc.Config.Placements()[index]
	settings, ok := c.Settings.(credential.Minting)
	if !ok {
		return fmt.Errorf("credentials of kind %q have no token", c.Kind)
	}
	minter, err := settings.Minter(mint(svc, of))
	if err != nil {
		return err
	}
	name := pool.Name(svc.Name, index)
	p.Name, p.Source = pool.Topic(name), a.pool.Source(ctx, name, svc, minter)
	for _, ref := range c.Refs() {
		if v := of.values[ref].value; v.Len() >= scrub.MinLength && !multiline(v) {
			p.Hidden = append(p.Hidden, v)
		}
	}
	return nil
}

// multiline tells keys and files, which are no text that a response could quote in one piece.
func multiline(v secret.Value) bool { return bytes.ContainsRune(bytes.TrimSpace(v.Reveal()), '\n') }

// mint is what the Minters of a service are made with.
func mint(svc *service.Service, of *Secrets) *credential.Mint {
	return &credential.Mint{Reader: *of.Reader(), Way: func(u *url.URL) (http.RoundTripper, error) {
		return svc.TokenTransport(u)
	}}
}

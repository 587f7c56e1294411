package assemble

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
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
		switch {
		case c.Derived():
			err = a.derivedPart(ctx, svc, i, of, &p)
		case c.Signing():
			p.Signer, err = signer(c, of)
		default:
			err = staticPart(c, of, &p)
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

func staticPart(c *config.Credential, of *Secrets, p *credential.Part) error {
	in := of.Reader()
	p.Value = in.Value(c.Secret)
	if !c.UsernameSecret.IsZero() {
		p.Spec.Username, p.Spec.HideUser = string(in.Value(c.UsernameSecret).Reveal()), true
	}
	return in.err
}

// derivedPart finds the Source of a derived credential, or makes it. What it mints with must not come back either.
func (a *Assembler) derivedPart(ctx context.Context, svc *service.Service, index int, of *Secrets, p *credential.Part) error {
	c := &svc.Config.Placements()[index]
	minter, err := minting(c, svc, of).minter()
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

// multiline tells keys and files, which are no text that an answer could quote in one piece.
func multiline(v secret.Value) bool { return bytes.ContainsRune(bytes.TrimSpace(v.Reveal()), '\n') }

// minting reads what a derived credential is minted with.
func minting(c *config.Credential, svc *service.Service, of *Secrets) *mint {
	return &mint{Reader: of.Reader(), c: c, way: func(u *url.URL) (http.RoundTripper, error) { return svc.TokenTransport(u) }}
}

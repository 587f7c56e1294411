package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// ingredients are what a service's credentials are made of, as memory has them.
type ingredients struct {
	values map[secret.Ref]ingredient
	why    error // what keeps one of them from being confirmed
}

type ingredient struct {
	value secret.Value
	label string // for the audit log
}

// same tells whether nothing has changed, so that what was made of it is still good.
func (i *ingredients) same(other *ingredients) bool {
	return maps.EqualFunc(i.values, other.values, func(a, b ingredient) bool { return a.label == b.label && a.value.Equal(b.value) })
}

func (i *ingredients) get(ref secret.Ref) (secret.Value, error) {
	one, ok := i.values[ref]
	if !ok {
		return secret.Value{}, fmt.Errorf("%s was not read", ref)
	}
	return one.value, nil
}

// gather takes what a service's references name out of memory.
func gather(c *config.Service, held heldFunc) (*ingredients, error) {
	found := &ingredients{values: make(map[secret.Ref]ingredient)}
	for _, ref := range c.Refs() {
		value, label, why, err := held.of(ref)
		if err != nil {
			return nil, err
		}
		if found.why == nil {
			found.why = why
		}
		found.values[ref] = ingredient{value, label}
	}
	return found, nil
}

// mixture is a Recipe, and what it was made of.
type mixture struct {
	of     *ingredients
	recipe *credential.Recipe
}

// mix makes the Recipe of a service, or returns the one that it has, if nothing has changed.
func (s *Stores) mix(ctx context.Context, svc *service.Service, of *ingredients) (*credential.Recipe, error) {
	if before, ok := s.mixed(svc); ok && before.of.same(of) {
		return before.recipe, nil
	}
	if err := dress(svc, of); err != nil {
		return nil, unfit(svc, err)
	}
	parts, err := s.parts(ctx, svc, of)
	if err != nil {
		return nil, unfit(svc, err)
	}
	r, err := credential.NewRecipe(parts)
	if err != nil {
		return nil, unfit(svc, err)
	}
	s.remember(svc, &mixture{of, r})
	return r, nil
}

// unfit is the fault of secrets that are there and cannot be used.
func unfit(svc *service.Service, err error) error {
	if _, ok := errors.AsType[*fault.Fault](err); ok {
		return err
	}
	what := svc.Name
	if refs := svc.Config.Refs(); len(refs) == 1 {
		what = refs[0].String()
	}
	return hinted(fault.New(fault.CredentialMissing, what+": "+err.Error()), fault.HintOf(err))
}

func (s *Stores) mixed(svc *service.Service) (*mixture, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.mixtures[svc]
	return m, ok
}

func (s *Stores) remember(svc *service.Service, m *mixture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mixtures == nil {
		s.mixtures = make(map[*service.Service]*mixture)
	}
	s.mixtures[svc] = m
}

// forget drops what was made for services that are no longer in use, or for one.
func (s *Stores) forget(gone func(*service.Service) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.mixtures, func(svc *service.Service, _ *mixture) bool { return gone(svc) })
}

// dress gives a service its client certificate and what its proxy asks for.
func dress(svc *service.Service, of *ingredients) error {
	c := svc.Config
	in := reading{get: of.get}
	proxy := in.value(c.ProxySecret)
	if c.TLS != nil {
		cert, key := in.value(c.TLS.Cert), in.value(c.TLS.Key)
		if in.err != nil {
			return in.err
		}
		pair, err := tls.X509KeyPair(cert.Reveal(), key.Reveal())
		if err != nil {
			return errors.New("the client certificate and its key are not PEM, or do not belong together")
		}
		svc.SetClientCertificate(&pair)
	}
	if in.err == nil {
		svc.SetProxySecret(proxy)
	}
	return in.err
}

// parts makes what goes onto the requests of a service, in order.
func (s *Stores) parts(ctx context.Context, svc *service.Service, of *ingredients) ([]credential.Part, error) {
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
			err = s.derivedPart(ctx, svc, i, of, &p)
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

func staticPart(c *config.Credential, of *ingredients, p *credential.Part) error {
	in := reading{get: of.get}
	p.Value = in.value(c.Secret)
	if !c.UsernameSecret.IsZero() {
		p.Spec.Username, p.Spec.HideUser = string(in.value(c.UsernameSecret).Reveal()), true
	}
	return in.err
}

// derivedPart finds the Source of a derived credential, or makes it. What it mints with must not come back either.
func (s *Stores) derivedPart(ctx context.Context, svc *service.Service, index int, of *ingredients, p *credential.Part) error {
	c := &svc.Config.Placements()[index]
	minter, err := minting(c, svc, of).minter()
	if err != nil {
		return err
	}
	name := derivedName(svc.Name, index)
	p.Name, p.Source = topicDerived+name, s.state.derived.source(ctx, name, svc, minter)
	for _, ref := range c.Refs() {
		if v := of.values[ref].value; v.Len() >= scrub.MinLength && !multiline(v) {
			p.Hidden = append(p.Hidden, v)
		}
	}
	return nil
}

// multiline tells keys and files, which are no text that an answer could quote in one piece.
func multiline(v secret.Value) bool { return bytes.ContainsRune(bytes.TrimSpace(v.Reveal()), '\n') }

func minting(c *config.Credential, svc *service.Service, of *ingredients) *mint {
	return &mint{reading: reading{get: of.get}, c: c, way: func(u *url.URL) (http.RoundTripper, error) { return svc.TokenTransport(u) }}
}

// signer makes the Signer of a credential that signs.
func signer(c *config.Credential, of *ingredients) (sign.Signer, error) {
	in := reading{get: of.get}
	switch c.Kind {
	case config.KindSigV4:
		o := sign.SigV4Options{
			AccessKey: in.plain(c.AccessKey), HideAccessKey: len(c.AccessKey.Refs()) > 0, SecretKey: in.value(c.SecretKey),
			SessionToken: in.value(c.SessionToken), Region: c.Region, Service: c.Service, UnsignedLarge: c.UnsignedLarge,
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewSigV4(o) })
	case config.KindHMAC:
		o := sign.HMACOptions{
			Secret: in.value(c.Secret), SecretEncoding: c.SecretEncoding, Algorithm: c.Algorithm, Encoding: c.Encoding,
			Message: c.Message, Header: c.Header, Param: c.Param, Format: c.Format, Headers: c.SignedHeaders,
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewHMAC(o) })
	case config.KindOAuth1:
		o := sign.OAuth1Options{
			ConsumerKey: in.plain(c.ConsumerKey), HideConsumerKey: len(c.ConsumerKey.Refs()) > 0, ConsumerSecret: in.value(c.ConsumerSecret),
			Token: in.value(c.AccessToken), TokenSecret: in.value(c.TokenSecret), Method: c.SignatureMethod, Realm: c.Realm,
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewOAuth1(o) })
	case config.KindDigest:
		o := sign.DigestOptions{Username: c.Username, Secret: in.value(c.Secret)}
		if !c.UsernameSecret.IsZero() {
			o.Username, o.HideUser = string(in.value(c.UsernameSecret).Reveal()), true
		}
		return built(&in, func() (sign.Signer, error) { return sign.NewDigest(o) })
	}
	return nil, fmt.Errorf("credentials of kind %q do not sign", c.Kind)
}

// built builds, if everything could be read.
func built[T any](in *reading, build func() (T, error)) (T, error) {
	if in.err != nil {
		var none T
		return none, in.err
	}
	return build()
}

// consent makes the Minter that a service is connected for.
func consent(c *config.Credential, svc *service.Service, of *ingredients) (*derive.RefreshToken, error) {
	return minting(c, svc, of).refresher()
}

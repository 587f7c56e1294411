package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

// registration is who may ask for tokens.
type registration struct {
	Clients []client `json:"clients"`
	Issuers []issuer `json:"issuers"`
}

// client is a registered client (OpenID Connect Dynamic Client Registration 1.0 section 2).
type client struct {
	ID string `json:"id"`
	// client_secret_basic, client_secret_post, private_key_jwt: the one way that is taken
	Auth      string   `json:"auth"`
	Secret    string   `json:"secret,omitempty"`
	Key       string   `json:"key,omitempty"` // public, PEM, for private_key_jwt
	Grants    []string `json:"grants"`
	Scopes    []string `json:"scopes"`
	Redirects []string `json:"redirects,omitempty"`
}

// issuer may sign assertions for one subject (RFC 7523 section 3).
type issuer struct {
	Name    string   `json:"name"`
	Subject string   `json:"subject"`
	Key     string   `json:"key"` // public, PEM
	Scopes  []string `json:"scopes"`
}

// keyID is what registered keys are called; assertions need not name it.
const keyID = "registered"

func (r *registration) fill(ctx context.Context, store *storage.MemoryStore, hasher fosite.Hasher) error {
	for _, c := range r.Clients {
		registered, err := c.registered(ctx, hasher)
		if err != nil {
			return fmt.Errorf("registering client %q: %w", c.ID, err)
		}
		store.Clients[c.ID] = registered
	}
	for _, i := range r.Issuers {
		key, err := jwk(i.Key)
		if err != nil {
			return fmt.Errorf("registering issuer %q: %w", i.Name, err)
		}
		keys := map[string]storage.PublicKeyScopes{keyID: {Key: key, Scopes: i.Scopes}}
		store.IssuerPublicKeys[i.Name] = storage.IssuerPublicKeys{
			Issuer:    i.Name,
			KeysBySub: map[string]storage.SubjectPublicKeys{i.Subject: {Subject: i.Subject, Keys: keys}},
		}
	}
	return nil
}

func (c client) registered(ctx context.Context, hasher fosite.Hasher) (fosite.Client, error) {
	made := &fosite.DefaultOpenIDConnectClient{
		DefaultClient: &fosite.DefaultClient{
			ID: c.ID, RedirectURIs: c.Redirects,
			GrantTypes: c.Grants, Scopes: c.Scopes,
		},
		TokenEndpointAuthMethod: c.Auth,
	}
	if c.Key != "" {
		key, err := jwk(c.Key)
		if err != nil {
			return nil, err
		}
		made.JSONWebKeys = &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{*key}}
		made.TokenEndpointAuthSigningAlgorithm = key.Algorithm
		return made, nil
	}
	var err error
	made.Secret, err = hasher.Hash(ctx, []byte(c.Secret))
	return made, err
}

// jwk reads a public key: P-256, or else RSA.
func jwk(text string) (*jose.JSONWebKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fmt.Errorf("reading a public key: no PEM in %d bytes", len(text))
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading a public key: %w", err)
	}
	return &jose.JSONWebKey{Key: key, KeyID: keyID, Use: "sig", Algorithm: algorithm(key)}, nil
}

func algorithm(key crypto.PublicKey) string {
	if _, elliptic := key.(*ecdsa.PublicKey); elliptic {
		return "ES256"
	}
	return "RS256"
}

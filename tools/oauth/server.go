package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
)

// server is the provider's endpoints, and what they have done.
type server struct {
	provider fosite.OAuth2Provider
	config   *fosite.Config
	store    *store
	log      *slog.Logger
	issuer   string

	// mu makes a transaction of each call to the token endpoint, as a database would: the store in memory has none, and
	// two refreshes at once could both find the same refresh token unspent.
	mu     sync.Mutex
	record record
}

// record is what has happened.
type record struct {
	Minted  map[string]int `json:"minted"`  // access tokens by client, or by subject where there was none
	Refused map[string]int `json:"refused"` // requests for tokens, by client and error code
	// of them, refresh tokens that had been used before: each has revoked its grant
	Reused  int      `json:"reused"`
	Tokens  []string `json:"tokens"`  // every token that was ever given
	Refresh []string `json:"refresh"` // of them, the refresh tokens, in order
}

func newServer(ctx context.Context, url string, access time.Duration, who registration) (*server, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	config := &fosite.Config{
		AccessTokenLifespan: access, GlobalSecret: secret, TokenURL: url + "/token", IDTokenIssuer: url,
		EnforcePKCE: true, GrantTypeJWTBearerCanSkipClientAuth: true,
		DisableRefreshTokenValidation: true, // a refresh token is no access token, also where it is introspected
		HashCost:                      4,    // a test has no time for more
	}
	s := &server{
		config: config, store: &store{MemoryStore: storage.NewMemoryStore()}, issuer: url,
		record: record{Minted: map[string]int{}, Refused: map[string]int{}},
	}
	if err := who.fill(ctx, s.store.MemoryStore, &fosite.BCrypt{Config: config}); err != nil {
		return nil, err
	}
	s.provider = composed(config, s.store, key)
	return s, nil
}

func composed(config *fosite.Config, s *store, key *rsa.PrivateKey) fosite.OAuth2Provider {
	keys := func(context.Context) (any, error) { return key, nil }
	strategy := &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(keys, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: keys},
	}
	return compose.Compose(config, s, strategy,
		compose.OAuth2ClientCredentialsGrantFactory,
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OAuth2PKCEFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.RFC7523AssertionGrantFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OpenIDConnectRefreshFactory,
		compose.OAuth2TokenIntrospectionFactory,
	)
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /introspect", s.introspect)
	mux.HandleFunc("GET /lab/record", s.report)
	mux.HandleFunc("POST /lab/lifetime/{lifetime}", s.setLifetime)
	mux.HandleFunc("POST /lab/expire", s.expire)
	return mux
}

func (s *server) session(subject string) *openid.DefaultSession {
	now := time.Now().UTC()
	return &openid.DefaultSession{
		Claims:  &jwt.IDTokenClaims{Issuer: s.issuer, Subject: subject, RequestedAt: now, AuthTime: now},
		Headers: &jwt.Headers{},
		Subject: subject,
	}
}

// authorize is the page of consent (RFC 6749 section 4.1.1), at which everybody consents at once.
func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	asked, err := s.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		s.refuse(ctx, "authorize", err)
		s.provider.WriteAuthorizeError(ctx, w, asked, err)
		return
	}
	for _, scope := range asked.GetRequestedScopes() {
		asked.GrantScope(scope)
	}
	response, err := s.provider.NewAuthorizeResponse(ctx, asked, s.session("resource owner"))
	if err != nil {
		s.refuse(ctx, "authorize", err)
		s.provider.WriteAuthorizeError(ctx, w, asked, err)
		return
	}
	s.provider.WriteAuthorizeResponse(ctx, w, asked, response)
}

// token gives tokens (RFC 6749 section 3.2).
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := r.Context()
	asked, err := s.provider.NewAccessRequest(ctx, r, s.session(""))
	if err != nil {
		s.refuseToken(ctx, asked, err)
		s.provider.WriteAccessError(ctx, w, asked, err)
		return
	}
	if asked.GetGrantTypes().ExactOne("client_credentials") {
		for _, scope := range asked.GetRequestedScopes() {
			asked.GrantScope(scope)
		}
	}
	response, err := s.provider.NewAccessResponse(ctx, asked)
	if err != nil {
		s.refuseToken(ctx, asked, err)
		s.provider.WriteAccessError(ctx, w, asked, err)
		return
	}
	s.keep(asked, response)
	s.provider.WriteAccessResponse(ctx, w, asked, response)
}

// keep is called with mu held.
func (s *server) keep(asked fosite.AccessRequester, given fosite.AccessResponder) {
	who := asked.GetClient().GetID()
	if who == "" {
		who = asked.GetSession().GetSubject()
	}
	s.record.Minted[who]++
	s.record.Tokens = append(s.record.Tokens, given.GetAccessToken())
	if id, ok := given.GetExtra("id_token").(string); ok {
		s.record.Tokens = append(s.record.Tokens, id)
	}
	if refresh, ok := given.GetExtra("refresh_token").(string); ok {
		s.record.Tokens = append(s.record.Tokens, refresh)
		s.record.Refresh = append(s.record.Refresh, refresh)
	}
}

// refuseToken is called with mu held.
func (s *server) refuseToken(ctx context.Context, asked fosite.AccessRequester, err error) {
	who := asked.GetClient().GetID()
	s.record.Refused[who+" "+fosite.ErrorToRFC6749Error(err).ErrorField]++
	if errors.Is(err, fosite.ErrInactiveToken) {
		s.record.Reused++
	}
	s.refuse(ctx, "token for "+who, err)
}

func (s *server) refuse(ctx context.Context, what string, err error) {
	e := fosite.ErrorToRFC6749Error(err)
	s.log.InfoContext(ctx, "refused", "what", what, "error", e.ErrorField, "hint", e.HintField, "debug", e.DebugField)
}

// introspect tells an API whether a token is valid (RFC 7662).
func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	response, err := s.provider.NewIntrospectionRequest(ctx, r, s.session(""))
	if err != nil {
		s.provider.WriteIntrospectionError(ctx, w, err)
		return
	}
	s.provider.WriteIntrospectionResponse(ctx, w, response)
}

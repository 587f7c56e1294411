package assemble

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/config"
	"sallyport/internal/secret"
)

// mint makes minters of configuration.
type mint struct {
	Reader

	c   *config.Credential
	way func(*url.URL) (http.RoundTripper, error) // a guarded transport to a token endpoint
}

// minter makes the Minter of a derived credential. Its errors quote no secret.
func (m *mint) minter() (minter derive.Minter, err error) {
	switch m.c.Kind {
	case config.KindClientCredentials:
		o := derive.ClientCredentialsOptions{Endpoint: m.endpoint(m.c.TokenURL), Client: m.client(), Scopes: m.c.Scopes}
		minter, err = built(&m.Reader, func() (derive.Minter, error) { return derive.NewClientCredentials(o) })
	case config.KindRefreshToken:
		return m.refresher()
	case config.KindJWTBearer:
		minter, err = m.bearer()
	case config.KindGitHubApp:
		minter, err = m.github()
	case config.KindExchange:
		minter, err = m.exchange()
	default:
		err = errors.New("credentials of kind " + m.c.Kind + " have no token")
	}
	return minter, err
}

// refresher is the Minter of a service that is connected by a person's consent.
func (m *mint) refresher() (*derive.RefreshToken, error) {
	o := derive.RefreshTokenOptions{
		Endpoint: m.endpoint(m.c.TokenURL), Client: m.client(), Scopes: m.c.Scopes,
		Refresh: m.Value(m.c.RefreshToken), ReuseGrace: m.c.ReuseGrace, Reusable: !m.c.Rotates,
	}
	if m.c.RefreshURL != "" {
		o.RefreshAt = m.endpoint(m.c.RefreshURL)
	}
	return built(&m.Reader, func() (*derive.RefreshToken, error) { return derive.NewRefreshToken(o) })
}

func (m *mint) bearer() (derive.Minter, error) {
	o := derive.JWTBearerOptions{
		Endpoint: derive.Endpoint{URL: m.c.TokenURL},
		Issuer:   m.Plain(m.c.Issuer), Subject: m.Plain(m.c.Subject), Audience: m.Plain(m.c.Audience), Scopes: m.c.Scopes,
	}
	if len(m.c.Claims) > 0 {
		o.Claims = make(map[string]any, len(m.c.Claims))
		for name, t := range m.c.Claims {
			o.Claims[name] = m.Plain(t)
		}
	}
	if !m.c.ClientID.IsZero() {
		client := m.client()
		o.Client = &client
	}
	if !m.c.ServiceAccount.IsZero() {
		file := m.Value(m.c.ServiceAccount)
		if m.err == nil {
			o, m.err = o.ServiceAccount(file)
		}
	} else {
		o.Key = m.signer()
	}
	o.Endpoint = m.endpoint(o.Endpoint.URL)
	return built(&m.Reader, func() (derive.Minter, error) { return derive.NewJWTBearer(o) })
}

func (m *mint) github() (derive.Minter, error) {
	api := m.c.APIURL
	if api == "" {
		api = derive.GitHubAPI
	}
	o := derive.GitHubAppOptions{
		Endpoint: m.endpoint(api), AppID: m.Plain(m.c.AppID), InstallationID: m.Plain(m.c.InstallationID), Key: m.signer(),
	}
	return built(&m.Reader, func() (derive.Minter, error) { return derive.NewGitHubApp(o) })
}

func (m *mint) exchange() (derive.Minter, error) {
	r := m.c.Request
	if r == nil {
		return nil, errors.New("there is no login call: `request` says which")
	}
	o := derive.ExchangeOptions{
		Endpoint: m.endpoint(r.URL), Method: r.Method, JSON: m.Tree(r.JSON), Token: m.c.Token, ExpiresAt: m.c.ExpiresAt,
	}
	if r.Form != nil {
		o.Form = m.Texts(r.Form)
	}
	o.Endpoint.Headers, o.Endpoint.Params = m.Texts(r.Headers), m.Texts(r.Query)
	if r.Basic != nil {
		headers := make(map[string]secret.Value, len(o.Endpoint.Headers)+1)
		maps.Copy(headers, o.Endpoint.Headers)
		headers["Authorization"] = m.basic(r.Basic)
		o.Endpoint.Headers = headers
	}
	if strings.HasPrefix(m.c.Lifetime, "/") {
		o.Lifetime, o.Endpoint.Lifetime = m.c.Lifetime, 0
	}
	return built(&m.Reader, func() (derive.Minter, error) { return derive.NewExchange(o) })
}

// basic is RFC 7617.
func (m *mint) basic(b *config.LoginBasic) secret.Value {
	pair := slices.Concat(m.Text(b.Username).Reveal(), []byte{':'}, m.Text(b.Password).Reveal())
	defer clear(pair)
	return secret.NewValue([]byte("Basic " + base64.StdEncoding.EncodeToString(pair)))
}

func (m *mint) endpoint(target string) derive.Endpoint {
	e := derive.Endpoint{URL: target, Headers: m.Texts(m.c.TokenHeaders), Params: m.Texts(m.c.Params)}
	if m.c.Kind != config.KindExchange {
		e.Token = m.c.Token
	}
	if d, err := config.ParseDuration(m.c.Lifetime); err == nil {
		e.Lifetime = d
	}
	if m.err != nil {
		return e
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		m.err = errors.New("the URL of the token endpoint cannot be read")
		return e
	}
	e.Transport, m.err = m.way(u)
	return e
}

func (m *mint) client() derive.ClientAuth {
	a := derive.ClientAuth{Method: m.c.Auth, ID: m.Plain(m.c.ClientID), Secret: m.Value(m.c.ClientSecret)}
	if m.c.Kind != config.KindJWTBearer {
		a.Audience = m.Plain(m.c.Audience)
	}
	if m.c.Auth == derive.AuthPrivateKeyJWT || m.c.Auth == "" && !m.c.Key.IsZero() && m.c.Kind != config.KindJWTBearer {
		a.Key = m.signer()
	}
	return a
}

func (m *mint) signer() *derive.Signer {
	pem, id := m.Value(m.c.Key), m.Plain(m.c.KeyID)
	if m.err != nil {
		return nil
	}
	var s *derive.Signer
	s, m.err = derive.NewSigner(pem, m.c.Alg, id)
	return s
}

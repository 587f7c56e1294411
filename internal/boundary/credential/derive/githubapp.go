package derive

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/secret"
)

// GitHubAPI is GitHub's own; GitHub Enterprise Server has its API under /api/v3 of its host.
const GitHubAPI = "https://api.github.com"

// GitHubAppOptions are what a GitHubApp needs.
type GitHubAppOptions struct {
	Endpoint       Endpoint // URL: of the API; "": GitHubAPI
	AppID          string   // or the client id, which GitHub takes as well
	InstallationID string
	Key            *Signer // RS256
}

// GitHubApp makes installation access tokens of a GitHub App: one hour each, by a JWT that the app signs.
type GitHubApp struct {
	caller *caller
	o      GitHubAppOptions
	inputs string
}

// NewGitHubApp returns a Minter, or what is wrong with the options.
func NewGitHubApp(o GitHubAppOptions) (*GitHubApp, error) {
	if o.Endpoint.URL == "" {
		o.Endpoint.URL = GitHubAPI
	}
	switch {
	case o.Key == nil || o.Key.alg.Alg() != "RS256":
		return nil, errors.New("a GitHub App needs its RSA key, with RS256")
	case o.AppID == "":
		return nil, errors.New("a GitHub App needs its app_id")
	case o.InstallationID == "" || strings.Trim(o.InstallationID, "0123456789") != "":
		return nil, errors.New("installation_id of a GitHub App has to be a number")
	}
	c, err := newCaller(o.Endpoint)
	if err != nil {
		return nil, err
	}
	f := newFingerprint("github_app")
	f.text(o.Endpoint.URL, o.AppID, o.InstallationID, o.Key.Fingerprint())
	f.values(o.Endpoint.Headers)
	f.values(o.Endpoint.Params)
	return &GitHubApp{caller: c, o: o, inputs: f.String()}, nil
}

// Inputs is the fingerprint of API, app, installation and key.
func (m *GitHubApp) Inputs() string { return m.inputs }

// Mint signs as the app and asks for an installation token.
func (m *GitHubApp) Mint(ctx context.Context, _ State) (State, error) {
	g, err := retimed(m.caller, func(*EndpointError) bool { return true }, func() (*grant, error) { return m.ask(ctx) })
	if err != nil {
		return State{}, err
	}
	return State{Token: g.token, Expiry: g.expiry}, nil
}

func (m *GitHubApp) ask(ctx context.Context) (*grant, error) {
	claims := timed(m.caller.now())
	claims["iss"] = m.o.AppID
	delete(claims, "jti")
	assertion, err := m.o.Key.Sign(claims)
	if err != nil {
		return nil, err
	}
	header := http.Header{
		"Authorization": {"Bearer " + assertion}, "Accept": {"application/vnd.github+json"},
		"X-Github-Api-Version": {"2022-11-28"}, "User-Agent": {"sallyport"},
	}
	target := strings.TrimSuffix(m.o.Endpoint.URL, "/") + "/app/installations/" +
		url.PathEscape(m.o.InstallationID) + "/access_tokens"
	a, err := m.caller.do(ctx, &call{
		method: http.MethodPost, url: target, header: header,
		secrets: []secret.Value{secret.NewValue([]byte(assertion))},
	})
	if err != nil {
		return nil, err
	}
	members, err := a.members()
	if err != nil {
		return nil, err
	}
	token, err := readToken(members["token"])
	if err != nil {
		return nil, a.broken("answered with " + err.Error())
	}
	return &grant{token: token, expiry: a.expiresAt(members["expires_at"], time.Hour)}, nil
}

package app_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"sallyport/internal/app"
	"sallyport/internal/boundary/consent"
	"sallyport/internal/testkit/presetkeys"
)

// TestPresetsConnect gives consent for every preset that asks a person for one: the page is n8n's, with n8n's
// parameters, the code buys a token where the preset says, and a gate that starts after that uses it.
func TestPresetsConnect(t *testing.T) {
	presets := slices.DeleteFunc(presetkeys.All(), func(p presetkeys.Preset) bool {
		return p.Credential.Kind != presetkeys.KindRefreshToken
	})
	w := emptyWorld(t)
	w.unconnected = true
	w.fill(t, presets)
	o := w.options()
	w.moveAll(t, o.Config)
	state, err := app.Open(t.Context(), o.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	t.Run("connect", func(t *testing.T) {
		for name, p := range w.plays {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p.consent(t, state)
			})
		}
	})
	w.serve(t, o)
	t.Run("call", func(t *testing.T) {
		for name, p := range w.plays {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p.asked(t, fine, 1)
				if got := p.minted(); got != 1 {
					t.Errorf("%d token requests, want that of the consent alone", got)
				}
			})
		}
	})
}

// consent is a person who says yes, and the browser that brings the code back.
func (p *play) consent(t *testing.T, state *app.State) {
	t.Helper()
	c, err := state.Connect(t.Context(), p.Name, consent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	asked := page.Query()
	returned := make(chan error, 1)
	go func() {
		resp, err := http.Get(c.RedirectURL + "?" + url.Values{"code": {"a code+/="}, "state": asked["state"]}.Encode())
		if err == nil {
			err = resp.Body.Close()
		}
		returned <- err
	}()
	_, err = c.Await(t.Context())
	if back := <-returned; err != nil || back != nil {
		t.Fatal(err, back)
	}
	p.wantPage(t, page, c.RedirectURL)
	p.wantCode(t, asked.Get("code_challenge"), c.RedirectURL)
}

// wantPage holds the page of consent to the preset and to n8n.
func (p *play) wantPage(t *testing.T, page *url.URL, redirect string) {
	t.Helper()
	c, got := p.Credential, page.Query()
	target, _, _ := strings.Cut("/"+page.Host+page.RequestURI(), "?")
	if want := p.there(t, c.AuthorizeURL); page.Scheme != "https" || target != want {
		t.Errorf("the page is %s, want https:/%s", page.Redacted(), want)
	}
	want := url.Values{"client_id": {p.secrets["client_id"]}, "redirect_uri": {redirect}, "response_type": {"code"}}
	made := []string{"state"}
	if c.PKCE != "off" {
		want.Set("code_challenge_method", "S256")
		made = append(made, "code_challenge")
	}
	if len(c.Scopes) > 0 {
		want.Set("scope", p.filled(strings.Join(c.Scopes, " ")))
	}
	for name, value := range c.AuthorizeParams {
		want.Set(name, p.filled(value))
	}
	for _, name := range made {
		if len(got.Get(name)) < 20 {
			t.Errorf("the page has %s %q", name, got.Get(name))
		}
		got.Del(name)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the page's parameters (-want +got):\n%s", diff)
	}
	for _, n := range n8nTypes(p.Preset) {
		if n.OAuth2 != nil && p.Deviates == "" {
			p.wantParams(t, n.OAuth2.Params, got)
		}
	}
}

// wantParams wants the parameters that n8n gives its page of consent.
func (p *play) wantParams(t *testing.T, theirs string, got url.Values) {
	t.Helper()
	want, err := url.ParseQuery(braced.ReplaceAllLiteralString(theirs, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	want.Del("grant_type") // is the token request's; no page of consent reads it
	for name := range want {
		if !got.Has(name) || want.Get(name) != "{}" && want.Get(name) != got.Get(name) {
			t.Errorf("n8n's page has %s=%s, and this one %q", name, want.Get(name), got.Get(name))
		}
	}
}

// wantCode holds what the code was sent with.
func (p *play) wantCode(t *testing.T, challenge, redirect string) {
	t.Helper()
	p.mu.Lock()
	got := p.logins[0]
	p.mu.Unlock()
	form, err := url.ParseQuery(got.Body)
	if uri := p.there(t, p.Credential.TokenURL); err != nil || got.Method != http.MethodPost || got.URI != uri {
		t.Errorf("the token request is %s %s, %v; want POST %s", got.Method, got.URI, err, uri)
	}
	p.wantAgent(t, got)
	if p.Credential.PKCE != "off" { // otherwise the form is compared with one that has none
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != challenge {
			t.Error("the verifier is not the challenge's")
		}
		form.Del("code_verifier")
	}
	want := url.Values{"grant_type": {"authorization_code"}, "code": {"a code+/="}, "redirect_uri": {redirect}}
	for name, value := range p.Credential.Params {
		want.Set(name, p.filled(value))
	}
	user := p.wantedClient(want)
	if got.Header.Get("Authorization") != user {
		t.Errorf("the token request has Authorization %q, want %q", got.Header.Get("Authorization"), user)
	}
	if diff := gocmp.Diff(want, form); diff != "" {
		t.Errorf("the form of the token request (-want +got):\n%s", diff)
	}
}

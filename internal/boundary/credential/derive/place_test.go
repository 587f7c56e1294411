package derive_test

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/secret"
)

// recording answers every call with one body, and keeps what it was asked.
type recording struct {
	answer string
	asked  []*http.Request
	form   []url.Values
}

func (r *recording) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	r.asked, r.form = append(r.asked, req), append(r.form, form)
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(r.answer)), Request: req,
	}, err
}

func at(r *recording, target, pointer string) derive.Endpoint {
	return derive.Endpoint{URL: target, Transport: r, Token: pointer}
}

var byPost = derive.ClientAuth{Method: derive.AuthPost, ID: "client", Secret: value("client-secret")}

const slackAnswer = `{"ok":true,"access_token":"xoxb-of-the-bot","refresh_token":"xoxe-bot","expires_in":60,"scope":"commands",` +
	`"authed_user":{"id":"U1","access_token":"xoxp-of-the-user","refresh_token":"xoxe-user","expires_in":43200,"scope":"chat:write,users:read"}}`

// TestTokenInsideTheAnswer: what belongs to the token stands beside it, wherever that is. A consent never takes another
// token than the one that the pointer leads to; a refresh token belongs to one token alone, so its answer may have that
// at the top.
func TestTokenInsideTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		pointer, answer, token, refresh string
		life                            time.Duration
		connectFails, refreshFails      string
	}{
		"the standard":           {"", `{"access_token":"token-1","refresh_token":"refresh-1","expires_in":3600}`, "token-1", "refresh-1", time.Hour, "", ""},
		"the standard, in words": {"/access_token", `{"access_token":"token-1","refresh_token":"refresh-1","expires_in":3600}`, "token-1", "refresh-1", time.Hour, "", ""},
		"of a user beside a bot": {"/authed_user/access_token", slackAnswer, "xoxp-of-the-user", "xoxe-user", 12 * time.Hour, "", ""},
		"of the bot":             {"", slackAnswer, "xoxb-of-the-bot", "xoxe-bot", time.Minute, "", ""},
		"another name":           {"/data/0/jwt", `{"data":[{"jwt":"token-1","refresh_token":"refresh-1","expires_in":"7200"}]}`, "token-1", "refresh-1", 2 * time.Hour, "", ""},
		"a bot alone":            {"/authed_user/access_token", `{"ok":true,"access_token":"xoxb-of-the-bot","refresh_token":"xoxe-bot","expires_in":60,"authed_user":{"id":"U1"}}`, "xoxb-of-the-bot", "xoxe-bot", time.Minute, "no token at /authed_user/access_token", ""},
		"no object":              {"/authed_user/access_token", `{"ok":true,"authed_user":"U1"}`, "", "", 0, "no token at /authed_user/access_token", "no token at /authed_user/access_token"},
		"null":                   {"/authed_user/access_token", `{"ok":true,"authed_user":{"access_token":null}}`, "", "", 0, "no token", "no token"},
		"twice":                  {"/authed_user/access_token", `{"authed_user":{"access_token":"token-1","access_token":"token-2"}}`, "", "", 0, "no token at", "no token at"},
		"a refusal":              {"/authed_user/access_token", `{"ok":false,"error":"bad_client_secret"}`, "", "", 0, "bad_client_secret", "bad_client_secret"},
	} {
		r := &recording{answer: c.answer}
		m := must(derive.NewRefreshToken(derive.RefreshTokenOptions{Endpoint: at(r, "https://tokens.test/token",
			c.pointer), Client: byPost, Refresh: value("refresh-0")}))
		connect := must(derive.NewConnect(derive.ConnectOptions{
			AuthorizeURL: "https://tokens.test/page",
			RedirectURL:  "https://gate.test/back", For: m,
		}))
		got, err := connect.Exchange(t.Context(), "a-code", connect.State())
		wantGrant(t, name+", by a code", got, err, c.token, c.refresh, c.life, c.connectFails)
		got, err = mint(t, m)
		wantGrant(t, name+", by a refresh token", got, err, c.token, c.refresh, c.life, c.refreshFails)
		other := must(derive.NewClientCredentials(derive.ClientCredentialsOptions{Endpoint: at(r,
			"https://tokens.test/token", c.pointer), Client: byPost}))
		got, err = mint(t, other)
		wantGrant(t, name+", by the client", got, err, c.token, "", c.life, c.connectFails)
	}
}

func wantGrant(t *testing.T, what string, got derive.State, err error, token, refresh string,
	life time.Duration, fails string,
) {
	t.Helper()
	if fails != "" {
		if err == nil || !strings.Contains(err.Error(), fails) {
			t.Errorf("%s: got %v, want %q", what, err, fails)
		}
		return
	}
	if left := time.Until(got.Expiry); err != nil || string(got.Token.Reveal()) != token ||
		string(got.Refresh.Reveal()) != refresh || left > life || left < life-time.Minute {
		t.Errorf("%s: got %q, %q, for %s, %v; want %q, %q, for %s", what, got.Token.Reveal(), got.Refresh.Reveal(),
			left, err, token, refresh, life)
	}
}

func TestTokenPointersRefused(t *testing.T) {
	for pointer, want := range map[string]string{
		"access_token": "does not begin with a slash",
		"/a~2":         "neither ~0 nor ~1", "/": "leads to no member", "/authed_user/": "leads to no member",
	} {
		_, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{Endpoint: at(&recording{},
			"https://tokens.test", pointer), Client: byPost})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", pointer, err, want)
		}
	}
}

// TestRefreshAddress: the code goes to one address, refresh tokens to another, each by its own way; the grant stays the
// same.
func TestRefreshAddress(t *testing.T) {
	const answer = `{"access_token":"token-1","refresh_token":"refresh-1","expires_in":3600}`
	codes, refreshes := &recording{answer: answer}, &recording{answer: `{"access_token":"token-2","expires_in":3600}`}
	o := derive.RefreshTokenOptions{
		Endpoint:  at(codes, "https://tokens.test/token", ""),
		RefreshAt: at(refreshes, "https://other.test/refresh", ""),
		Client:    derive.ClientAuth{ID: "client", Secret: value("client-secret")}, Refresh: value("refresh-0"),
	}
	m := must(derive.NewRefreshToken(o))
	connect := must(derive.NewConnect(derive.ConnectOptions{
		AuthorizeURL: "https://tokens.test/page",
		RedirectURL:  "https://gate.test/back", For: m,
	}))
	state, err := connect.Exchange(t.Context(), "a-code", connect.State())
	if err != nil || len(codes.asked) != 1 || len(refreshes.asked) != 0 {
		t.Fatalf("%v: %d and %d calls", err, len(codes.asked), len(refreshes.asked))
	}
	next, err := m.Mint(t.Context(), state)
	if err != nil || string(next.Token.Reveal()) != "token-2" || string(next.Refresh.Reveal()) != "refresh-1" ||
		len(codes.asked) != 1 {
		t.Fatalf("got %+v, %v", next, err)
	}
	if got := refreshes.asked[0]; got.URL.String() != "https://other.test/refresh" ||
		refreshes.form[0].Get("refresh_token") != "refresh-1" || got.Header.Get("Authorization") == "" {
		t.Errorf("asked %s %v", got.URL, refreshes.form[0])
	}
	o.RefreshAt = derive.Endpoint{}
	if plain := must(derive.NewRefreshToken(o)); plain.Inputs() == m.Inputs() {
		t.Error("a token that another address has refreshed counts as one of this")
	}
	o.RefreshAt = at(refreshes, "ftp://other.test", "")
	if _, err := derive.NewRefreshToken(o); err == nil {
		t.Error("an address that is no URL is taken")
	}
}

// TestWithoutPKCE: neither the page nor the code says anything of PKCE, and a client that nothing else protects has to
// use it.
func TestWithoutPKCE(t *testing.T) {
	for _, auth := range []derive.ClientAuth{
		byPost,
		{ID: "client", Secret: value("client-secret")},
		{ID: "client"},
		{Method: derive.AuthNone, ID: "client"},
	} {
		r := &recording{answer: `{"access_token":"token-1","expires_in":5184000}`}
		m := must(derive.NewRefreshToken(derive.RefreshTokenOptions{Endpoint: at(r, "https://tokens.test/token",
			""), Client: auth}))
		connect, err := derive.NewConnect(derive.ConnectOptions{
			AuthorizeURL: "https://tokens.test/page",
			RedirectURL:  "https://gate.test/back", WithoutPKCE: true, For: m,
		})
		if public := auth.Secret.IsZero(); public || err != nil {
			if !public || err == nil {
				t.Errorf("client %+v: %v", auth, err)
			}
			continue
		}
		if _, err := connect.Exchange(t.Context(), "a-code", connect.State()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(connect.URL(), "challenge") || r.form[0].Has("code_verifier") ||
			r.form[0].Get("code") != "a-code" {
			t.Errorf("the page is %s, the form has %v", connect.URL(), r.form[0])
		}
	}
}

// TestUserAgentOfTokenCalls: no provider sees a library's name, and each what was configured.
func TestUserAgentOfTokenCalls(t *testing.T) {
	for configured, want := range map[string]string{
		"":                               "Sallyport",
		"web:example:v1 (by /u/someone)": "web:example:v1 (by /u/someone)",
	} {
		r := &recording{answer: `{"access_token":"token-1"}`}
		e := at(r, "https://tokens.test/token", "")
		if configured != "" {
			e.Headers = map[string]secret.Value{"user-agent": value(configured)}
		}
		if _, err := mint(t,
			must(derive.NewClientCredentials(derive.ClientCredentialsOptions{
				Endpoint: e,
				Client:   byPost,
			}))); err != nil {
			t.Fatal(err)
		}
		var sent strings.Builder
		if err := r.asked[0].Header.Write(&sent); err != nil {
			t.Fatal(err)
		}
		name := "User-Agent"
		if configured != "" {
			name = "user-agent" // as it was configured
		}
		if got := strings.Count(strings.ToLower(sent.String()), "user-agent:"); got != 1 ||
			!strings.Contains(sent.String(), name+": "+want+"\r\n") {
			t.Errorf("got %q, want %s: %s", sent.String(), name, want)
		}
	}
}

// FuzzTokenPlace: no pointer and no answer makes a token that is not in the answer, and the pointer's own comes before
// any other.
func FuzzTokenPlace(f *testing.F) {
	f.Add("/authed_user/access_token", slackAnswer)
	f.Add("", `{"access_token":"token-1"}`)
	f.Add("/a~1b/0", `{"a/b":["token-1"]}`)
	f.Fuzz(func(t *testing.T, pointer, answer string) {
		r := &recording{answer: answer}
		m, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{Endpoint: at(r, "https://tokens.test",
			pointer), Client: byPost})
		if err != nil {
			return
		}
		got, err := m.Mint(t.Context(), derive.State{})
		var doc any
		if err != nil || json.Unmarshal([]byte(strings.TrimPrefix(answer, "\ufeff")), &doc) != nil {
			return
		}
		for part := range strings.SplitSeq(cmp.Or(pointer, derive.DefaultToken)[1:], "/") {
			switch in := doc.(type) {
			case map[string]any:
				doc = in[strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")]
			case []any:
				i, err := strconv.Atoi(part)
				if err != nil {
					t.Fatalf("%q led into a list", pointer)
				}
				doc = in[i]
			default:
				doc = nil
			}
		}
		if text, _ := doc.(string); text != string(got.Token.Reveal()) {
			t.Errorf("%q of %q gave %q", pointer, answer, got.Token.Reveal())
		}
	})
}

package derive_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/tokenserver"
)

const canary = "s3cret/canary+value=%&é"

// kind is one way to a token, set up at a server.
type kind struct {
	name  string
	build func(t testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error)
}

func kinds() []kind {
	auth := func(c derive.ClientAuth) kind {
		return kind{
			"client_credentials " + c.Method,
			func(_ testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
				c.ID, c.Secret = "client:1 é", value(canary)
				s.Clients[c.ID] = tokenserver.Client{Auth: c.Method, Secret: canary, Key: keys()["p256"].Public()}
				return derive.NewClientCredentials(derive.ClientCredentialsOptions{
					Endpoint: e, Client: c,
					Scopes: []string{"a", "b"},
				})
			},
		}
	}
	return []kind{
		auth(derive.ClientAuth{Method: "basic"}),
		auth(derive.ClientAuth{Method: "post"}),
		{
			"client_credentials private_key_jwt",
			func(t testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
				s.Clients["client"] = tokenserver.Client{Auth: "private_key_jwt", Key: keys()["p256"].Public()}
				return derive.NewClientCredentials(derive.ClientCredentialsOptions{
					Endpoint: e,
					Client:   derive.ClientAuth{ID: "client", Key: signer(t, "p256", "", "1")},
				})
			},
		},
		{"refresh_token", refreshing("")},
		{
			"refresh_token private_key_jwt",
			func(t testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
				s.Clients["client"] = tokenserver.Client{Auth: "private_key_jwt", Key: keys()["ed25519"].Public()}
				c := derive.ClientAuth{ID: "client", Key: signer(t, "ed25519", "", "1")}
				return derive.NewRefreshToken(derive.RefreshTokenOptions{
					Endpoint: e, Client: c,
					Refresh: value(s.Grant("client")),
				})
			},
		},
		{"jwt_bearer", bearing("rsa", "PS256")},
		{"jwt_bearer ES384", bearing("p384", "")},
		{
			"jwt_bearer service account",
			func(_ testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
				s.Issuers["robot@project.iam.test"] = keys()["rsa"].Public()
				file := must(json.Marshal(map[string]string{
					"type": "service_account", "client_email": "robot@project.iam.test", "private_key": pkcs8("rsa"), "private_key_id": "k1", "token_uri": e.URL,
				}))
				e.URL = ""
				o, err := derive.JWTBearerOptions{
					Endpoint: e,
					Scopes:   []string{"https://scopes.test/all"},
				}.ServiceAccount(secret.NewValue(file))
				if err != nil {
					return nil, err
				}
				return derive.NewJWTBearer(o)
			},
		},
		{"github_app", func(t testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
			s.App, s.Issuers["4711"] = "4711", keys()["rsa"].Public()
			e.URL = s.URL
			return derive.NewGitHubApp(derive.GitHubAppOptions{
				Endpoint: e, AppID: "4711", InstallationID: "12",
				Key: signer(t, "rsa", "", ""),
			})
		}},
		{"exchange", exchanging(canary)},
	}
}

func refreshing(client string) func(testing.TB, *tokenserver.Server, derive.Endpoint) (derive.Minter, error) {
	return func(_ testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
		return derive.NewRefreshToken(refreshOptions(s, e, client))
	}
}

func refreshOptions(s *tokenserver.Server, e derive.Endpoint, client string) derive.RefreshTokenOptions {
	if client == "" {
		client = "client"
	}
	s.Clients[client] = tokenserver.Client{Auth: "basic", Secret: canary}
	return derive.RefreshTokenOptions{
		Endpoint: e, Client: derive.ClientAuth{ID: client, Secret: value(canary)},
		Refresh: value(s.Grant(client)),
	}
}

func bearing(key, alg string) func(testing.TB, *tokenserver.Server, derive.Endpoint) (derive.Minter, error) {
	return func(t testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
		s.Issuers["issuer"] = keys()[key].Public()
		return derive.NewJWTBearer(derive.JWTBearerOptions{
			Endpoint: e, Issuer: "issuer", Subject: "someone", Key: signer(t, key, alg, ""),
			Claims: map[string]any{"box_sub_type": "enterprise"},
		})
	}
}

func exchanging(password string) func(testing.TB, *tokenserver.Server, derive.Endpoint) (derive.Minter, error) {
	return func(_ testing.TB, s *tokenserver.Server, e derive.Endpoint) (derive.Minter, error) {
		s.Users["user"] = canary
		e.URL = s.URL + "/login"
		return derive.NewExchange(derive.ExchangeOptions{
			Endpoint: e, JSON: map[string]any{"user": "user", "password": value(password)}, Token: "/data/token",
			Lifetime: "/expire", Error: "/code",
		})
	}
}

// endpoint leads to s without a network.
func endpoint(s *tokenserver.Server) derive.Endpoint {
	return derive.Endpoint{URL: s.URL + "/token", Transport: s.Transport()}
}

func build(t testing.TB, s *tokenserver.Server, k kind) derive.Minter {
	t.Helper()
	m, err := k.build(t, s, endpoint(s))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mint is one token by m, as a Source would have it.
func mint(t testing.TB, m derive.Minter) (derive.State, error) {
	t.Helper()
	var prev derive.State
	if s, ok := m.(derive.Spender); ok {
		var err error
		if prev, err = s.Spend(prev, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	return m.Mint(t.Context(), prev)
}

func TestMint(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tokenserver.New()
				s.Lifetime = 2 * time.Hour
				m := build(t, s, k)
				got, err := mint(t, m)
				if err != nil {
					t.Fatal(err)
				}
				if !s.Valid(string(got.Token.Reveal())) || time.Until(got.Expiry) != 2*time.Hour {
					t.Errorf("got a token for %v, valid %t", time.Until(got.Expiry),
						s.Valid(string(got.Token.Reveal())))
				}
				if again := build(t, s, k); k.name[:4] != "refr" && again.Inputs() != m.Inputs() {
					t.Error("the same inputs have two fingerprints")
				}
			})
		})
	}
}

// TestMintOnTheWire is over TCP and TLS with the client's certificate, as it is in production.
func TestMintOnTheWire(t *testing.T) {
	s := tokenserver.Start(t)
	m, err := refreshing("")(t, s, derive.Endpoint{URL: s.URL + "/token", Transport: http.DefaultTransport})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mint(t, m); err != nil {
		t.Error(err)
	}

	secure := tokenserver.New()
	server := httptest.NewUnstartedServer(secure)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	secure.Clients["client"] = tokenserver.Client{Auth: "mtls"}
	transport, ok := server.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	transport.TLSClientConfig.Certificates = server.TLS.Certificates
	cc, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{
		Endpoint: derive.Endpoint{URL: server.URL + "/token", Transport: transport},
		Client:   derive.ClientAuth{Method: "mtls", ID: "client"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mint(t, cc); err != nil {
		t.Error(err)
	}
}

// TestThroughTheGuard: the gate's own transport, to nobody and to an address that is not public.
func TestThroughTheGuard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	for want, allow := range map[string][]netip.Prefix{
		"could not be reached: connection refused": {netip.MustParsePrefix("127.0.0.1/32")},
		"could not be reached: loopback":           nil,
	} {
		s := tokenserver.New()
		guard := must(egress.New(egress.Options{Host: host, Port: port, AllowPrivate: allow}))
		v := &derive.Memory{}
		o := refreshOptions(s, derive.Endpoint{URL: "http://" + l.Addr().String() + "/token", Transport: guard}, "")
		_, err := derive.New(derive.Options{
			Name: "lark", Minter: must(derive.NewRefreshToken(o)), Vault: v,
			Owner: v,
		}).Token(t.Context())
		if f := wantFault(t, err, fault.CredentialMintFailed, "reach"); !strings.Contains(f.Message, want) {
			t.Errorf("got %q, want %q", f.Message, want)
		}
		if on, _, err := v.Load(t.Context(), "lark"); err != nil || !on.Spending.IsZero() {
			t.Errorf("it is marked as being spent since %v (%v)", on.Spending, err)
		}
	}
}

// TestNoConnection: net/http's own transport tells that there never was a connection, so nothing has been spent.
func TestNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := tokenserver.New()
		e := endpoint(s)
		over := make(chan struct{}) // net/http goes on dialling when the request has ended
		defer close(over)
		e.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			<-over
			return nil, net.ErrClosed
		}}
		v := &derive.Memory{}
		source := derive.New(derive.Options{
			Name:   "lark",
			Minter: must(derive.NewRefreshToken(refreshOptions(s, e, ""))), Vault: v, Owner: v,
		})
		_, err := source.Token(t.Context())
		wantFault(t, err, fault.CredentialMintFailed, "reach")
		if on, _, err := v.Load(t.Context(), "lark"); err != nil || !on.Spending.IsZero() {
			t.Errorf("it is marked as being spent since %v (%v)", on.Spending, err)
		}
	})
}

// TestClocksApart: the provider's clock is off, within what is tolerated and beyond.
func TestClocksApart(t *testing.T) {
	for _, k := range kinds() {
		for _, c := range []struct {
			skew time.Duration
			want bool
		}{{290 * time.Second, true}, {-290 * time.Second, true}, {2 * time.Hour, false}, {-2 * time.Hour, false}} {
			t.Run(k.name+" "+c.skew.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := tokenserver.New()
					s.Skew = c.skew
					m := build(t, s, k)
					got, err := mint(t, m)
					signs := strings.Contains(k.name, "jwt") || k.name == "github_app"
					switch {
					case signs && !c.want:
						if err == nil || !strings.Contains(err.Error(), "clock") {
							t.Errorf("got %v", err)
						}
						return
					case err != nil:
						t.Fatal(err)
					case (time.Until(got.Expiry) - time.Hour).Abs() > 2*time.Second:
						t.Errorf("good for %v", time.Until(got.Expiry))
					}
					before := s.Record().Calls
					if _, err := m.Mint(t.Context(), got); err != nil || s.Record().Calls != before+1 {
						t.Errorf("the next: %v, with %d calls; the clock is known by now", err, s.Record().Calls-before)
					}
				})
			})
		}
	}
}

func TestLifetimes(t *testing.T) {
	for m, want := range map[tokenserver.Misbehaviour]time.Duration{
		tokenserver.NoLifetime: derive.DefaultLifetime, tokenserver.ZeroLifetime: derive.DefaultLifetime,
		tokenserver.TextLifetime: 30 * time.Minute, tokenserver.LongLifetime: derive.MaxLifetime,
		tokenserver.WrongDate: time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := tokenserver.New()
			s.Misbehave(m)
			got, err := mint(t, build(t, s, kinds()[0]))
			if err != nil || time.Until(got.Expiry) != want {
				t.Errorf("%d: got %v, %v, want %v", m, time.Until(got.Expiry), err, want)
			}
		})
	}
}

func TestMintFails(t *testing.T) {
	for m, want := range map[tokenserver.Misbehaviour]string{
		tokenserver.Unreachable: "could not be reached", tokenserver.Filtered: "could not be reached in time",
		tokenserver.Reset: "broke the connection off", tokenserver.LostAnswer: "broke the connection off",
		tokenserver.Hang: "did not answer in time", tokenserver.Garbage: "not one JSON object",
		tokenserver.HTML: "answered with HTML",
		tokenserver.Huge: "more than 1 MiB", tokenserver.Error500: "refused (status 500)",
		tokenserver.Error502: "refused (status 502)",
		tokenserver.Error503: "refused: temporarily_unavailable (status 503)",
		tokenserver.Error429: "temporarily_unavailable (status 429)",
		tokenserver.Redirect: "a redirect, which is not followed", tokenserver.CRLFToken: "a token with a line break",
		tokenserver.EmptyToken: "an empty token", tokenserver.NumberToken: "a token that is not a string",
		tokenserver.NoToken: "no token in it",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := tokenserver.New()
			s.Misbehave(m)
			minter := build(t, s, kinds()[0])
			_, err := mint(t, minter)
			var failed *derive.EndpointError
			if !errors.As(err, &failed) || !strings.Contains(err.Error(), want) ||
				strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, want)
			}
			if _, err := mint(t, minter); err != nil {
				t.Errorf("after %q: %v", want, err)
			}
		})
	}
}

// answering is a token endpoint that always answers the same.
type answering struct {
	status int
	header http.Header
	body   string
}

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.WriteString(a.body) // there is none with 204
	return w.Result(), nil
}

func TestAnswers(t *testing.T) {
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}
	for _, c := range []struct {
		name string
		a    answering
		want string // the token, or a part of the error
	}{
		{"form", answering{200, form, "access_token=tok-en&scope=a%2Cb&token_type=bearer"}, "tok-en"},
		{"form, twice", answering{200, form, "access_token=tok-en&access_token=other"}, "a name stands twice"},
		{"JSON called text", answering{200, http.Header{"Content-Type": {"text/plain"}}, ` {"access_token":"tok-en"} `}, "tok-en"},
		{"byte order mark", answering{200, nil, "\xef\xbb\xbf{\"access_token\":\"tok-en\"}"}, "tok-en"},
		{"status 201", answering{201, nil, `{"access_token":"tok-en"}`}, "tok-en"},
		{"twice", answering{200, nil, `{"access_token":"tok-en","access_token":"other"}`}, "a name stands twice"},
		{"other case", answering{200, nil, `{"Access_Token":"tok-en"}`}, "no token in it"},
		{"two documents", answering{200, nil, `{"access_token":"tok-en"}{}`}, "not one JSON object"},
		{"list", answering{200, nil, `["access_token"]`}, "not one JSON object"},
		{"null", answering{200, nil, `{"access_token":null}`}, "no token in it"},
		{"nothing", answering{200, nil, ``}, "answered with nothing"},
		{"short", answering{200, nil, `{"access_token":"abc"}`}, "too short"},
		{"long", answering{200, nil, `{"access_token":"` + strings.Repeat("a", 20000) + `"}`}, "more than 16 KiB"},
		{"not ASCII", answering{200, nil, `{"access_token":"tökenen"}`}, "cannot stand in a header"},
		{"NUL", answering{200, nil, `{"access_token":"token\u0000"}`}, "cannot stand in a header"},
		{"called gzip", answering{200, http.Header{"Content-Encoding": {"gzip"}}, `{"access_token":"tok-en"}`}, "tok-en"},
		{"gzip, unasked", answering{200, http.Header{"Content-Encoding": {"gzip"}}, gzipped(`{"access_token":"tok-en"}`)}, "tok-en"},
		{"gzip bomb", answering{200, http.Header{"Content-Encoding": {"gzip"}}, gzipped(strings.Repeat(" ", 2<<20))}, "more than 1 MiB"},
		{"a charset as coding", answering{200, http.Header{"Content-Encoding": {"utf-8"}}, `{"access_token":"tok-en"}`}, "tok-en"},
		{"JSON called HTML", answering{200, http.Header{"Content-Type": {"text/html; charset=UTF-8"}}, "\n{\"access_token\":\"tok-en\"}"}, "tok-en"},
		{"JSON called XHTML", answering{200, http.Header{"Content-Type": {"application/xhtml+xml"}}, `{"access_token":"tok-en"}`}, "tok-en"},
		{"JSON called a form", answering{200, form, `{"access_token":"tok-en"}`}, "tok-en"},
		{"JSON called bytes", answering{200, http.Header{"Content-Type": {"application/octet-stream"}}, `{"access_token":"tok-en"}`}, "tok-en"},
		{"JSON, label broken", answering{200, http.Header{"Content-Type": {"application/json; charset"}}, `{"access_token":"tok-en"}`}, "tok-en"},
		{"JSON, label empty", answering{200, http.Header{"Content-Type": {""}}, `{"access_token":"tok-en"}`}, "tok-en"},
		{"form called text", answering{200, http.Header{"Content-Type": {"text/plain"}}, "access_token=tok-en&expires_in=5183999"}, "tok-en"},
		{"form called HTML", answering{200, http.Header{"Content-Type": {"text/html"}}, "access_token=tok-en&expires=3600\n"}, "tok-en"},
		{"form called JSON", answering{200, http.Header{"Content-Type": {"application/json"}}, "access_token=tok-en"}, "tok-en"},
		{"form with a byte order mark", answering{200, form, "\xef\xbb\xbfaccess_token=tok-en"}, "tok-en"},
		{"error in a form", answering{200, form, "error=bad_verification_code&error_description=x"}, "refused: bad_verification_code (status 200)"},
		{"HTML called JSON", answering{200, http.Header{"Content-Type": {"application/json"}}, "<html>access_token=tok-en"}, "answered with HTML"},
		{"text", answering{200, http.Header{"Content-Type": {"text/plain"}}, "access_token = tok-en is what you want"}, "not one JSON object"},
		{"a word", answering{400, http.Header{"Content-Type": {"text/plain"}}, "invalid_grant\n"}, "refused: invalid_grant (status 400)"},
		{"a word that is the secret", answering{400, nil, "s3cret.canary"}, "refused (status 400)"},
		{"bad refresh token", answering{200, nil, `{"access_token":"tok-en","refresh_token":{}}`}, "as refresh token, a token that is not a string"},
		{"error with 200", answering{200, nil, `{"ok":false,"error":"invalid_auth"}`}, "refused: invalid_auth (status 200)"},
		{"error nested", answering{403, nil, `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"x"}}`}, "refused: PERMISSION_DENIED (status 403)"},
		{"error with text", answering{400, nil, `{"error":"see https://evil.test/ now"}`}, "refused (status 400)"},
		{"error too long", answering{400, nil, `{"error":"` + strings.Repeat("a", 65) + `"}`}, "refused (status 400)"},
		{"error is the secret", answering{400, nil, `{"error":"s3cret.canary"}`}, "refused (status 400)"},
		{"error in HTML", answering{502, nil, `<html>` + canary}, "refused (status 502)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{
				Endpoint: derive.Endpoint{URL: "https://tokens.test/token", Transport: c.a},
				Client:   derive.ClientAuth{ID: "client", Secret: value("prefix-s3cret.canary")},
			})
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Mint(t.Context(), derive.State{})
			text := string(got.Token.Reveal())
			if err != nil {
				text = err.Error()
			}
			if (err == nil) != (c.want == "tok-en") || !strings.Contains(text, c.want) ||
				strings.Contains(text, "canary") {
				t.Errorf("got %q", text)
			}
		})
	}
}

func gzipped(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

func TestOptionsRefused(t *testing.T) {
	s := tokenserver.New()
	e := endpoint(s)
	client := derive.ClientAuth{ID: "client", Secret: value(canary)}
	with := func(change func(*derive.Endpoint)) derive.Endpoint {
		changed := e
		change(&changed)
		return changed
	}
	creds := func(e derive.Endpoint, c derive.ClientAuth) error {
		_, err := derive.NewClientCredentials(derive.ClientCredentialsOptions{Endpoint: e, Client: c})
		return err
	}
	exchange := func(o derive.ExchangeOptions) error { _, err := derive.NewExchange(o); return err }
	bearer := func(o derive.JWTBearerOptions) error { _, err := derive.NewJWTBearer(o); return err }
	app := func(o derive.GitHubAppOptions) error { _, err := derive.NewGitHubApp(o); return err }
	_, errAccount := derive.JWTBearerOptions{}.ServiceAccount(value(canary))
	for want, err := range map[string]error{
		"https URL": creds(with(func(e *derive.Endpoint) {
			e.URL = "ftp://tokens.test"
		}), client),
		"without user": creds(with(func(e *derive.Endpoint) {
			e.URL = "https://u:s3cret-canary@tokens.test"
		}), client),
		"cannot be read": creds(with(func(e *derive.Endpoint) {
			e.URL = "https://\x00canary"
		}), client),
		"no transport": creds(with(func(e *derive.Endpoint) { e.Transport = nil }), client),
		`header "X-A"`: creds(with(func(e *derive.Endpoint) {
			e.Headers = map[string]secret.Value{"X-A": value("canary\r\nB: c")}
		}), client),
		`header "X:A"`: creds(with(func(e *derive.Endpoint) {
			e.Headers = map[string]secret.Value{"X:A": value("a")}
		}), client),
		"grant's own": creds(with(func(e *derive.Endpoint) {
			e.Params = map[string]secret.Value{"grant_type": value("password")}
		}), client),
		"no client_id":                      creds(e, derive.ClientAuth{Secret: value(canary)}),
		"needs a client secret":             creds(e, derive.ClientAuth{Method: "post", ID: "client"}),
		"needs a key":                       creds(e, derive.ClientAuth{Method: "private_key_jwt", ID: "client"}),
		`no client authentication "digest"`: creds(e, derive.ClientAuth{Method: "digest", ID: "client"}),
		"does not begin with a slash":       exchange(derive.ExchangeOptions{Endpoint: e, Token: "data.token"}),
		"neither ~0 nor ~1":                 exchange(derive.ExchangeOptions{Endpoint: e, Token: "/a~2"}),
		"where its answer has the token":    exchange(derive.ExchangeOptions{Endpoint: e}),
		"not both":                          exchange(derive.ExchangeOptions{Endpoint: e, Token: "/t", JSON: 1, Form: map[string]secret.Value{}}),
		"bearer grant needs a key":          bearer(derive.JWTBearerOptions{Endpoint: e, Issuer: "i"}),
		"needs an issuer":                   bearer(derive.JWTBearerOptions{Endpoint: e, Key: signer(t, "rsa", "", "")}),
		`claim "exp"`:                       bearer(derive.JWTBearerOptions{Endpoint: e, Claims: map[string]any{"exp": 1}}),
		"with RS256":                        app(derive.GitHubAppOptions{Endpoint: e, AppID: "1", InstallationID: "1", Key: signer(t, "p256", "", "")}),
		"installation_id":                   app(derive.GitHubAppOptions{Endpoint: e, AppID: "1", InstallationID: "1/x", Key: signer(t, "rsa", "", "")}),
		"the service account is not JSON":   errAccount,
	} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestExchange(t *testing.T) {
	later := time.Now().Add(90 * time.Minute)
	for _, c := range []struct {
		name string
		o    derive.ExchangeOptions
		a    answering
		want string
		life time.Duration
	}{
		{"nested, list", derive.ExchangeOptions{Token: "/a~1b/0/~0t", Lifetime: "/ttl"}, answering{200, nil, `{"a/b":[{"~t":"tok-en"}],"ttl":"60"}`}, "tok-en", time.Minute},
		{"body text", derive.ExchangeOptions{Token: "body"}, answering{200, nil, "tok-en\n"}, "tok-en", derive.DefaultLifetime},
		{"body JSON string", derive.ExchangeOptions{Token: "body"}, answering{200, nil, `"tok-en"`}, "tok-en", derive.DefaultLifetime},
		{"body HTML", derive.ExchangeOptions{Token: "body"}, answering{200, nil, "<p>"}, "HTML", 0},
		{"header", derive.ExchangeOptions{Token: "header:x-subject-token"}, answering{201, http.Header{"X-Subject-Token": {"tok-en"}}, ``}, "tok-en", derive.DefaultLifetime},
		{"cookie", derive.ExchangeOptions{Token: "cookie:sid"}, answering{204, http.Header{"Set-Cookie": {"a=b", "sid=tok-en; HttpOnly"}}, ``}, "tok-en", derive.DefaultLifetime},
		{"cookie of a redirect", derive.ExchangeOptions{Token: "cookie:sid"}, answering{302, http.Header{"Location": {"/home"}, "Set-Cookie": {"sid=tok-en; Path=/"}}, `<a href="/home">`}, "tok-en", derive.DefaultLifetime},
		{"cookie of status 303", derive.ExchangeOptions{Token: "cookie:sid"}, answering{303, http.Header{"Location": {"https://elsewhere.test"}, "Set-Cookie": {"sid=tok-en"}}, ``}, "tok-en", derive.DefaultLifetime},
		{"header of a redirect", derive.ExchangeOptions{Token: "header:X-Auth"}, answering{307, http.Header{"Location": {"/"}, "X-Auth": {"tok-en"}}, ``}, "tok-en", derive.DefaultLifetime},
		{"redirect without it", derive.ExchangeOptions{Token: "cookie:sid"}, answering{302, http.Header{"Location": {"/login?failed"}}, ``}, "a redirect, which is not followed", 0},
		{"redirect that takes it away", derive.ExchangeOptions{Token: "cookie:sid"}, answering{302, http.Header{"Set-Cookie": {"sid=deleted; Max-Age=0"}}, ``}, "a redirect, which is not followed", 0},
		{"body of a redirect", derive.ExchangeOptions{Token: "body"}, answering{302, nil, `Found. Redirecting to /login`}, "a redirect, which is not followed", 0},
		{"cookie twice", derive.ExchangeOptions{Token: "cookie:sid"}, answering{200, http.Header{"Set-Cookie": {"sid=before", "sid=tok-en"}}, ``}, "tok-en", derive.DefaultLifetime},
		{"cookie ended, then set", derive.ExchangeOptions{Token: "cookie:sid"}, answering{200, http.Header{"Set-Cookie": {"sid=x; expires=Thu, 01-Jan-1970 00:00:00 GMT", "sid=tok-en"}}, ``}, "tok-en", derive.DefaultLifetime},
		{"cookie set, then ended", derive.ExchangeOptions{Token: "cookie:sid"}, answering{200, http.Header{"Set-Cookie": {"sid=before", "sid=; expires=Thu, 01 Jan 1970 00:00:00 GMT"}}, ``}, "an empty token", 0},
		{"cookie in quotes", derive.ExchangeOptions{Token: "cookie:sid"}, answering{200, http.Header{"Set-Cookie": {`sid="tok-en"; Path=/`}}, ``}, `"tok-en"`, derive.DefaultLifetime},
		{"cookie with equals signs", derive.ExchangeOptions{Token: "cookie:sid"}, answering{200, http.Header{"Set-Cookie": {`sid=dG9r==; Path=/`}}, ``}, `dG9r==`, derive.DefaultLifetime},
		{"byte order mark", derive.ExchangeOptions{Token: "/t"}, answering{200, http.Header{"Content-Type": {"text/html"}}, "\xef\xbb\xbf{\"t\":\"tok-en\"}"}, "tok-en", derive.DefaultLifetime},
		{"body with a byte order mark", derive.ExchangeOptions{Token: "body"}, answering{200, nil, "\xef\xbb\xbftok-en"}, "tok-en", derive.DefaultLifetime},
		{"form", derive.ExchangeOptions{Token: "/Auth", Lifetime: "/life"}, answering{200, http.Header{"Content-Type": {"text/plain"}}, "Auth=tok-en&life=60"}, "tok-en", time.Minute},
		{"no cookie", derive.ExchangeOptions{Token: "cookie:sid"}, answering{204, nil, ``}, "an empty token", 0},
		{"RFC 3339", derive.ExchangeOptions{Token: "/t", ExpiresAt: "/e"}, answering{200, nil, `{"t":"tok-en","e":"` + later.Format(time.RFC3339) + `"}`}, "tok-en", 90 * time.Minute},
		{"milliseconds", derive.ExchangeOptions{Token: "/t", ExpiresAt: "/e"}, answering{200, nil, `{"t":"tok-en","e":` + jsonNumber(later.UnixMilli()) + `}`}, "tok-en", 90 * time.Minute},
		{"past", derive.ExchangeOptions{Token: "/t", ExpiresAt: "/e"}, answering{200, nil, `{"t":"tok-en","e":1}`}, "tok-en", derive.DefaultLifetime},
		{"fixed", derive.ExchangeOptions{Token: "/t", Endpoint: derive.Endpoint{Lifetime: 2 * time.Hour}}, answering{200, nil, `{"t":"tok-en"}`}, "tok-en", 2 * time.Hour},
		{"missing", derive.ExchangeOptions{Token: "/t/u", Error: "/code"}, answering{200, nil, `{"t":[],"code":10003,"msg":"canary"}`}, "refused: 10003 (status 200); answered with no token in it", 0},
		{"status", derive.ExchangeOptions{Token: "/t", Error: "/code"}, answering{401, nil, `{"code":"bad_login"}`}, "refused: bad_login (status 401)", 0},
		{"no JSON", derive.ExchangeOptions{Token: "/t"}, answering{200, nil, `canary`}, "not JSON", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Endpoint.URL, c.o.Endpoint.Transport = "https://api.test/login?a=b", c.a
			c.o.Endpoint.Params = map[string]secret.Value{"key": value(canary)}
			m, err := derive.NewExchange(c.o)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Mint(t.Context(), derive.State{})
			text := string(got.Token.Reveal())
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, c.want) || strings.Contains(text, "canary") {
				t.Fatalf("got %q", text)
			}
			if off := time.Until(got.Expiry) - c.life; err == nil && off.Abs() > time.Minute/2 {
				t.Errorf("good for %v, want %v", time.Until(got.Expiry), c.life)
			}
		})
	}
}

func jsonNumber(n int64) string { return string(must(json.Marshal(n))) }

// TestExchangeRefused: the login call echoes user and password, and the error does not.
func TestExchangeRefused(t *testing.T) {
	s := tokenserver.New()
	m, err := exchanging("wrong-canary")(t, s, endpoint(s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mint(t, m); err == nil || !strings.Contains(err.Error(), "refused: 10003") ||
		strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
}

// TestCodeIsNoSecret: an error code that is a secret in another dress is not told.
func TestCodeIsNoSecret(t *testing.T) {
	const hidden = "pA55.word-canary"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("n8n:"+hidden))
	a := answering{status: 400}
	e := derive.Endpoint{URL: "https://tokens.test/token", Transport: &a}
	withHeader := func(name, v string) derive.Endpoint {
		changed := e
		changed.Headers = map[string]secret.Value{name: value(v)}
		return changed
	}
	minters := map[string]func() (derive.Minter, error){
		"client secret": func() (derive.Minter, error) {
			return derive.NewClientCredentials(derive.ClientCredentialsOptions{
				Endpoint: e,
				Client:   derive.ClientAuth{ID: "n8n", Secret: value(hidden)},
			})
		},
		"basic login": func() (derive.Minter, error) {
			return derive.NewExchange(derive.ExchangeOptions{Endpoint: withHeader("Authorization",
				basic), Token: "/token"})
		},
		"header": func() (derive.Minter, error) {
			return derive.NewGitHubApp(derive.GitHubAppOptions{
				Endpoint: withHeader("X-Key", hidden), AppID: "1",
				InstallationID: "1", Key: signer(t, "rsa", "", ""),
			})
		},
	}
	for what, build := range minters {
		for how, code := range map[string]string{
			"plain": hidden, "hex": hex.EncodeToString([]byte(hidden)), "base64": base64.RawURLEncoding.EncodeToString([]byte(hidden)),
			"pair": strings.TrimRight(strings.TrimPrefix(basic, "Basic "), "="), "reason": "bad_" + hidden,
		} {
			m, err := build()
			if err != nil {
				t.Fatal(err)
			}
			a.body = `{"error":"` + code + `"}`
			if _, err = m.Mint(t.Context(), derive.State{}); err == nil || strings.Contains(err.Error(), code) {
				t.Errorf("%s, %s: got %v", what, how, err)
			}
		}
		m, err := build()
		if err != nil {
			t.Fatal(err)
		}
		a.body = `{"error":"invalid_client"}`
		if _, err = m.Mint(t.Context(), derive.State{}); err == nil ||
			!strings.Contains(err.Error(), "invalid_client") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

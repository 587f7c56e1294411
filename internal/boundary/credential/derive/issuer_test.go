package derive_test

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/fault"
	"sallyport/internal/testkit/tokenserver"
)

// TestCheckIssuer: an answer counts only if it is of the provider that was asked (RFC 9207 section 2.4).
func TestCheckIssuer(t *testing.T) {
	m := must(derive.NewRefreshToken(derive.RefreshTokenOptions{
		Endpoint: derive.Endpoint{URL: "https://tokens.test", Transport: http.DefaultTransport},
		Client:   derive.ClientAuth{ID: "client"},
	}))
	const honest = "https://auth.test/tenant"
	for _, tt := range []struct {
		name, configured string
		iss              []string
		want             string
	}{
		{"equal", honest, []string{honest}, ""},
		{"absent where it is announced", honest, nil, "names no issuer"},
		{"empty", honest, []string{""}, "another issuer"},
		{"another provider", honest, []string{"https://evil.test"}, "another issuer"},
		{"a slash more", honest, []string{honest + "/"}, "another issuer"},
		{"another case", honest, []string{"https://AUTH.test/tenant"}, "another issuer"},
		{"another tenant of the same host", honest, []string{"https://auth.test/other"}, "another issuer"},
		{"twice", honest, []string{honest, honest}, "more than one"},
		{"the other one first", honest, []string{"https://evil.test", honest}, "more than one"},
		{"not known, none comes", "", nil, ""},
		{"not known, of the page's host", "", []string{honest}, ""},
		{"not known, the port written out", "", []string{"https://auth.test:443"}, ""},
		{"not known, another host", "", []string{"https://evil.test"}, "another issuer"},
		{"not known, a host that begins alike", "", []string{"https://auth.test.evil.test"}, "another issuer"},
		{"not known, a user that looks like the host", "", []string{"https://auth.test@evil.test"}, "another issuer"},
		{"not known, the host and a user", "", []string{"https://evil@auth.test"}, "another issuer"},
		{"not known, another scheme", "", []string{"http://auth.test"}, "another issuer"},
		{"not known, another port", "", []string{"https://auth.test:8443"}, "another issuer"},
		{"not known, no URL", "", []string{"auth.test"}, "another issuer"},
		{"not known, empty", "", []string{""}, "another issuer"},
		{"not known, twice", "", []string{honest, "https://evil.test"}, "more than one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := must(derive.NewConnect(derive.ConnectOptions{
				AuthorizeURL: "https://auth.test/authorize",
				Issuer:       tt.configured, RedirectURL: "https://b.test", For: m,
			}))
			query := url.Values{"code": {"x"}, "state": {c.State()}}
			if tt.iss != nil {
				query["iss"] = tt.iss
			}
			err := c.CheckIssuer(query)
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(err.Error()+fault.HintOf(err), "evil") {
				t.Errorf("got %v (hint %q), want %q", err, fault.HintOf(err), tt.want)
			}
		})
	}
}

// TestLoopbackChecksIssuer: neither a code nor a refusal of another provider counts.
func TestLoopbackChecksIssuer(t *testing.T) {
	s := tokenserver.Start(t)
	for visit, want := range map[string]string{
		"code=x&iss=" + url.QueryEscape(s.URL):            "",
		"code=x":                                          "",
		"code=x&iss=https%3A%2F%2Fevil.test":              "another issuer",
		"error=access_denied&iss=https%3A%2F%2Fevil.test": "another issuer",
	} {
		l := must(derive.ListenLoopback(t.Context()))
		c, _ := connecting(t, s, l.RedirectURL)
		done := make(chan struct{})
		go func() {
			defer close(done)
			browse(t, l.RedirectURL+"?"+visit+"&state="+c.State())
		}()
		code, err := l.Await(t.Context(), c)
		<-done
		switch {
		case want == "" && (err != nil || code != "x"):
			t.Errorf("%s: got %q, %v", visit, code, err)
		case want != "" && (err == nil || code != "" || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %q, %v, want %s", visit, code, err, want)
		}
	}
}

// TestLocalhostIsBothLoopbacks: a browser may take localhost for ::1 as well as for 127.0.0.1, and nobody else may wait
// at either.
func TestLocalhostIsBothLoopbacks(t *testing.T) {
	var lc net.ListenConfig
	hosts := []string{"127.0.0.1"}
	if probe, err := lc.Listen(t.Context(), "tcp", "[::1]:0"); err == nil { // a machine without IPv6 has one loopback
		hosts = append(hosts, "::1")
		_ = probe.Close()
	}
	s := tokenserver.Start(t)
	for _, host := range hosts {
		port := freePort(t)
		l := must(derive.ListenRedirect(t.Context(), "http://localhost:"+port+"/callback"))
		c, _ := connecting(t, s, l.RedirectURL)
		done := make(chan struct{})
		go func() {
			defer close(done)
			browse(t, "http://"+net.JoinHostPort(host, port)+"/callback?code=x&state="+c.State())
		}()
		code, err := l.Await(t.Context(), c)
		<-done
		if err != nil || code != "x" {
			t.Errorf("%s: got %q, %v", host, code, err)
		}
		for _, after := range hosts {
			if _, err := http.Get("http://" + net.JoinHostPort(after, port)); err == nil {
				t.Errorf("it still listens on %s", after)
			}
		}

		taken := must(lc.Listen(t.Context(), "tcp", net.JoinHostPort(host, port)))
		if _, err := derive.ListenRedirect(t.Context(), "http://localhost:"+port+"/callback"); err == nil {
			t.Errorf("%s is someone else's, and the redirect URL is taken", host)
		}
		for _, other := range hosts {
			if other == host {
				continue
			}
			free, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(other, port))
			if err != nil {
				t.Errorf("%s is still held: %v", other, err)
				continue
			}
			_ = free.Close()
		}
		_ = taken.Close()
	}
	if _, err := derive.ListenRedirect(t.Context(), "http://localhost:0/callback"); err == nil {
		t.Error("port 0 is taken for a redirect URL")
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	free := must(derive.ListenLoopback(t.Context()))
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	return must(url.Parse(free.RedirectURL)).Port()
}

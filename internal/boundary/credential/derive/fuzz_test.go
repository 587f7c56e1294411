package derive_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/credential/derive"
)

var inErrors = regexp.MustCompile(`^[ -~]{1,400}$`)

// FuzzAnswer reads what a token endpoint answers: a token that can stand in a header and ends in bounded time, or an
// error that says which endpoint, and in which nothing of the answer stands but a code.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", "", `{"access_token":"tok-en","expires_in":3600,"refresh_token":"re-fresh"}`)
	f.Add(200, "application/json", "Sat, 21 Nov 2026 20:00:00 GMT", `{"access_token":"tok-en","expires_in":"3.6e3"}`)
	f.Add(200, "application/x-www-form-urlencoded", "", `access_token=tok%2Den&expires_in=-1`)
	f.Add(200, "text/html", "yesterday", `<html>`)
	f.Add(400, "application/json", "", `{"error":"invalid_grant","error_description":"x"}`)
	f.Add(401, "application/json", "", `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`)
	f.Add(200, "", "", `{"access_token":"a\r\nb","expires_in":1e999}`)
	f.Add(200, "", "", `{"access_token":"tok-en","expires_in":"NaN","expires_in":[]}`)
	f.Add(302, "", "", `{"access_token":"tok-en"}`)
	f.Fuzz(func(t *testing.T, status int, contentType, date, body string) {
		if status < 200 || status > 599 {
			return
		}
		a := answering{status, http.Header{"Content-Type": {contentType}, "Date": {date}}, body}
		e := derive.Endpoint{URL: "https://tokens.test/token", Transport: a}
		c := derive.ClientAuth{ID: "client", Secret: value(canary)}
		for _, m := range []derive.Minter{
			must(derive.NewClientCredentials(derive.ClientCredentialsOptions{Endpoint: e, Client: c})),
			must(derive.NewRefreshToken(derive.RefreshTokenOptions{Endpoint: e, Client: c, Refresh: value("refresh")})),
			must(derive.NewExchange(derive.ExchangeOptions{
				Endpoint: e, Token: "/access_token",
				ExpiresAt: "/expires_in", Error: "/error/code",
			})),
			must(derive.NewExchange(derive.ExchangeOptions{Endpoint: e, Token: "body"})),
		} {
			checkAnswer(t, m)
		}
	})
}

func checkAnswer(t *testing.T, m derive.Minter) {
	before := time.Now()
	got, err := m.Mint(t.Context(), derive.State{})
	if err == nil {
		life := got.Expiry.Sub(before)
		if n := got.Token.Len(); n < 4 || n > 16<<10 || strings.ContainsFunc(string(got.Token.Reveal()),
			func(r rune) bool {
				return r < ' ' || r >= 0x7f
			}) {
			t.Errorf("the token %q", got.Token.Reveal())
		}
		if life <= 0 || life > derive.MaxLifetime+time.Minute {
			t.Errorf("it is good for %v", life)
		}
		return
	}
	var failed *derive.EndpointError
	if !got.Token.IsZero() || !errors.As(err, &failed) && !strings.Contains(err.Error(), "refused the refresh token") {
		t.Fatalf("got %v and %v", got, err)
	}
	if !inErrors.MatchString(err.Error()) {
		t.Errorf("the error %q", err)
	}
}

// FuzzReadState reads what someone may have put on record.
func FuzzReadState(f *testing.F) {
	f.Add([]byte(`{"token":"a","minted":"2026-01-01T00:00:00Z","spending":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := derive.ReadState(b)
		if err != nil {
			return
		}
		first, err := s.Plain()
		if err != nil {
			return // a time that JSON cannot have
		}
		again, err := derive.ReadState(first)
		if err != nil || string(must(again.Plain())) != string(first) {
			t.Errorf("got %s, %v", first, err)
		}
	})
}

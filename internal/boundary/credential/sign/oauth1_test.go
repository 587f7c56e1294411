package sign_test

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/fault"
)

// TestOAuth1RFC is RFC 5849 section 3.4.1.1; its signature is the one of erratum 2550.
func TestOAuth1RFC(t *testing.T) {
	r := &sign.Request{
		Method: "POST", Scheme: "HTTP", Host: "EXAMPLE.COM:80", Path: "/request",
		RawQuery: "b5=%3D%253D&a3=a&c%40=&a2=r%20b",
	}
	got := sign.BaseString(r, "c2&a3=2+q",
		[2]string{"oauth_consumer_key", "9djdj82h48djs9d2"}, [2]string{"oauth_token", "kkk9d7dh3k39sjv7"},
		[2]string{"oauth_signature_method", "HMAC-SHA1"},
		[2]string{"oauth_timestamp", "137131201"}, [2]string{"oauth_nonce", "7d8f3e4a"})
	want := "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2" +
		"%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
	if got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	if got := base64.StdEncoding.EncodeToString(mac(sha1.New, "j49sk3j29djd&dh893hdasih9",
		got)); got != "r6/TJjbCOr97/+UU0NsvSne7s5g=" {
		t.Errorf("got %s", got)
	}
}

// twitter are the credentials of Twitter's page "Creating a signature".
func twitter() sign.OAuth1Options {
	return sign.OAuth1Options{
		ConsumerKey: "xvz1evFS4wEEPTGEFPHBog", ConsumerSecret: value("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
		Token:       value("370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"),
		TokenSecret: value("LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
		Nonce:       func() string { return "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg" },
	}
}

func status(host string) *sign.Request {
	return &sign.Request{
		Method: "POST", Scheme: "https", Host: host, Path: "/1.1/statuses/update.json",
		RawQuery: "include_entities=true", Now: time.Unix(1318622958, 0),
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		Body:   whole("status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21"),
	}
}

func newOAuth1(t testing.TB, o sign.OAuth1Options) *sign.OAuth1 {
	t.Helper()
	s, err := sign.NewOAuth1(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOAuth1Twitter is the example as it was published for api.twitter.com, and as it is now for api.x.com.
func TestOAuth1Twitter(t *testing.T) {
	for host, signature := range map[string]string{
		"api.twitter.com": "hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D",
		"api.x.com":       "Ls93hJiZbQ3akF3HF3x1Bz8%2FzU4%3D",
	} {
		r := status(host)
		if err := newOAuth1(t, twitter()).Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		want := `OAuth oauth_consumer_key="xvz1evFS4wEEPTGEFPHBog", oauth_nonce="kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", oauth_signature="` + signature +
			`", oauth_signature_method="HMAC-SHA1", oauth_timestamp="1318622958", oauth_token="370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", oauth_version="1.0"`
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", host, got, want)
		}
	}
}

func TestOAuth1Methods(t *testing.T) {
	o := twitter()
	o.Method, o.Realm = sign.OAuth1HMACSHA256, `1"2`
	r := status("h")
	if err := newOAuth1(t, o).Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := r.Header.Get("Authorization")
	signature, err := url.PathUnescape(regexp.MustCompile(`oauth_signature="([^"]*)"`).FindStringSubmatch(got)[1])
	if raw, _ := base64.StdEncoding.DecodeString(signature); err != nil || len(raw) != 32 ||
		!strings.HasPrefix(got, `OAuth realm="1\"2", `) {
		t.Errorf("got %s", got)
	}

	plain := sign.OAuth1Options{
		ConsumerKey: "k", ConsumerSecret: value("a&b"), TokenSecret: value("c%d"),
		Method: sign.OAuth1PlainText,
	}
	r = status("h")
	if err := newOAuth1(t, plain).Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got, want := r.Header.Get("Authorization"),
		`OAuth oauth_consumer_key="k", oauth_signature="a%2526b%26c%2525d", oauth_signature_method="PLAINTEXT", oauth_version="1.0"`; got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
	if got := fmt.Sprintf("%s", newOAuth1(t, plain).Secrets()); got != "[a&b c%d a%26b c%25d]" {
		t.Errorf("secrets: %s", got)
	}
	r = status("h")
	r.Scheme = "http"
	if err := newOAuth1(t, plain).Sign(t.Context(), r); err == nil || fault.HintOf(err) == "" ||
		r.Header.Get("Authorization") != "" {
		t.Errorf("over http: got %v, %v", err, r.Header)
	}
}

// TestOAuth1Body: only the fields of a form are signed, so only a form is read.
func TestOAuth1Body(t *testing.T) {
	truncated := fault.New(fault.RequestMalformed, "ended short")
	for name, c := range map[string]struct {
		types []string
		query string
		body  sign.Body
		code  fault.Code
	}{
		"json streams":     {[]string{"application/json"}, "", failing{truncated}, ""},
		"no type":          {nil, "", failing{truncated}, ""},
		"not a type":       {[]string{";"}, "", failing{truncated}, ""},
		"truncated":        {[]string{"Application/x-www-form-urlencoded"}, "", failing{truncated}, fault.RequestMalformed},
		"too large":        {[]string{"application/x-www-form-urlencoded"}, "", whole(strings.Repeat("x", 4<<20+1)), fault.BodyTooLarge},
		"broken form":      {[]string{"application/x-www-form-urlencoded"}, "", whole("a=%"), fault.RequestMalformed},
		"broken query":     {nil, "a=%q0", nil, fault.RequestMalformed},
		"its own token":    {nil, "oauth_token=x", nil, fault.RequestMalformed},
		"hidden":           {[]string{"application/x-www-form-urlencoded"}, "", whole("oauth%5Fnonce=x"), fault.RequestMalformed},
		"its own verifier": {nil, "oauth_verifier=x&oauth_callback=oob", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := status("h")
			r.Header = http.Header{"A": {"b"}}
			if c.types != nil {
				r.Header["Content-Type"] = c.types
			}
			r.RawQuery, r.Body = c.query, c.body
			before := describe(r)
			err := newOAuth1(t, twitter()).Sign(t.Context(), r)
			f, _ := errors.AsType[*fault.Fault](err)
			switch {
			case c.code == "" && (err != nil || r.Header.Get("Authorization") == ""):
				t.Errorf("got %v", err)
			case c.code != "" && (f == nil || f.Code != c.code || describe(r) != before):
				t.Errorf("got %v, %s", err, describe(r))
			}
		})
	}
}

func TestOAuth1Refuses(t *testing.T) {
	for name, o := range map[string]sign.OAuth1Options{
		"no key":    {ConsumerSecret: value("s")},
		"no secret": {ConsumerKey: "k"},
		"method":    {ConsumerKey: "k", ConsumerSecret: value("s"), Method: "RSA-SHA1"},
		"realm":     {ConsumerKey: "k", ConsumerSecret: value("s"), Realm: "a\r\nb"},
	} {
		if _, err := sign.NewOAuth1(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r := status("h")
	o := twitter()
	o.Nonce = nil
	if err := newOAuth1(t, o).Sign(t.Context(), r); err != nil ||
		!regexp.MustCompile(`oauth_nonce="[0-9a-f]{32}"`).MatchString(r.Header.Get("Authorization")) {
		t.Errorf("got %v, %v", err, r.Header)
	}
}

func BenchmarkOAuth1(b *testing.B) {
	bench(b, newOAuth1(b, twitter()), nil)
}

package sign_test

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/fault"
)

const (
	rfcNonce  = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
	rfcOpaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
	rfcCnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
	rfcMD5    = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="` + rfcNonce +
		`", opaque="` + rfcOpaque + `"`
	rfcSHA256 = `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="` + rfcNonce +
		`", opaque="` + rfcOpaque + `"`
)

func newDigest(t testing.TB, user, password, cnonce string) *sign.Digest {
	t.Helper()
	d, err := sign.NewDigest(sign.DigestOptions{Username: user, Secret: value(password), Nonce: func() string {
		return cnonce
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mufasa(t testing.TB) *sign.Digest {
	t.Helper()
	return newDigest(t, "Mufasa", "Circle of Life", rfcCnonce)
}

// answered signs a GET of the path after the challenges, and returns the parameters of Authorization.
func answered(t *testing.T, d *sign.Digest, path string, lines ...string) map[string]string {
	t.Helper()
	s := challenged(t, d, lines...)
	r := &sign.Request{Method: "GET", Path: path, Header: http.Header{}}
	if err := s.Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s.Next(nil) // it was taken
	return parsed(t, r.Header.Get("Authorization"))
}

// answerer is a Digest, or what it makes of a challenge.
type answerer interface {
	sign.Signer
	Next(h http.Header)
}

// challenged is d after the challenges, as it answers them.
func challenged(t *testing.T, d *sign.Digest, lines ...string) answerer {
	t.Helper()
	if len(lines) == 0 {
		return d
	}
	s, _ := d.Challenge(http.Header{"Www-Authenticate": lines})
	own, ok := s.(answerer)
	if !ok {
		t.Fatalf("%v: not learnt", lines)
	}
	return own
}

// parsed reads an Authorization header whose values have no comma.
func parsed(t *testing.T, header string) map[string]string {
	t.Helper()
	rest, ok := strings.CutPrefix(header, "Digest ")
	if !ok {
		t.Fatalf("got %q", header)
	}
	got := map[string]string{}
	for pair := range strings.SplitSeq(rest, ", ") {
		name, v, _ := strings.Cut(pair, "=")
		got[name] = v
	}
	return got
}

func TestDigestRFC(t *testing.T) {
	for name, c := range map[string]struct{ challenge, algorithm, response string }{
		"3.9.1 MD5":     {rfcMD5, "MD5", "8ca523f5e9506fed4657c9700eebdbec"},
		"3.9.1 SHA-256": {rfcSHA256, "SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
	} {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{
				"username": `"Mufasa"`, "realm": `"http-auth@example.org"`, "uri": `"/dir/index.html"`, "algorithm": c.algorithm, "nonce": `"` + rfcNonce + `"`,
				"nc": "00000001", "cnonce": `"` + rfcCnonce + `"`, "qop": "auth", "response": `"` + c.response + `"`, "opaque": `"` + rfcOpaque + `"`,
			}
			if diff := cmp.Diff(want, answered(t, mufasa(t), "/dir/index.html", c.challenge)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("3.9.2 with erratum 4897", func(t *testing.T) {
		d := newDigest(t, "Jäsøn Doe", "Secret, or not?", "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")
		got := answered(t, d, "/doe.json",
			`Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true`)
		if got["username"] != `"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"` ||
			got["response"] != `"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"` ||
			got["userhash"] != "true" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("RFC 2617", func(t *testing.T) {
		d := newDigest(t, "Mufasa", "Circle Of Life", "0a4f113b")
		got := answered(t, d, "/dir/index.html",
			`Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"`)
		if _, named := got["algorithm"]; got["response"] != `"6629fae49393a05397450978507c4ef1"` || named {
			t.Errorf("got %v", got)
		}
	})
	t.Run("RFC 2069", func(t *testing.T) {
		d := newDigest(t, "Mufasa", "Circle Of Life", "0a4f113b")
		got := answered(t, d, "/dir/index.html",
			`Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"`)
		if got["response"] != `"670fd8c2df070c60b045671b8b24ff02"` || got["nc"]+got["cnonce"]+got["qop"] != "" {
			t.Errorf("got %v", got)
		}
	})
}

func md5hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestDigestVariants(t *testing.T) {
	t.Run("sess", func(t *testing.T) {
		n := 0
		d, err := sign.NewDigest(sign.DigestOptions{Username: "u", Secret: value("p"), Nonce: func() string {
			n++
			return fmt.Sprint("c", n)
		}})
		if err != nil {
			t.Fatal(err)
		}
		answered(t, d, "/", `Digest realm="r", nonce="n", qop=auth, algorithm=MD5-sess`)
		got := answered(t, d, "/?q")
		want := md5hex(md5hex(md5hex("u:r:p")+":n:c1") + ":n:00000002:c1:auth:" + md5hex("GET:/?q"))
		if got["response"] != `"`+want+`"` || got["cnonce"] != `"c1"` || got["algorithm"] != "MD5-sess" {
			t.Errorf("got %v, want %s", got, want)
		}
	})
	t.Run("auth-int", func(t *testing.T) {
		d := challenged(t, newDigest(t, "u", "p", "c"), `Digest realm="r", nonce="n", qop="auth-int"`)
		for _, body := range []sign.Body{nil, whole("the body")} {
			text := ""
			if body != nil {
				text = "the body"
			}
			r := &sign.Request{Method: "POST", Path: "/", Header: http.Header{}, Body: body}
			if err := d.Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			got := parsed(t, r.Header.Get("Authorization"))
			want := md5hex(md5hex("u:r:p") + ":n:" + got["nc"] + ":c:auth-int:" + md5hex("POST:/:"+md5hex(text)))
			if got["response"] != `"`+want+`"` {
				t.Errorf("got %v, want %s", got, want)
			}
		}
		truncated := fault.New(fault.RequestMalformed, "ended short")
		r := &sign.Request{Method: "POST", Path: "/", Header: http.Header{}, Body: failing{truncated}}
		if err := d.Sign(t.Context(), r); !errors.Is(err, truncated) || len(r.Header) > 0 {
			t.Errorf("got %v, %v", err, r.Header)
		}
	})
	t.Run("names", func(t *testing.T) {
		if got := answered(t, newDigest(t, `D"o\e é`, "p", "c"), "/",
			`Digest realm="r\"\\", nonce="n", qop=auth, charset=utf-8`); got["username*"] != `UTF-8''D%22o%5Ce%20%C3%A9` || got["realm"] != `"r\"\\"` {
			t.Errorf("got %v", got)
		}
		if got := answered(t, newDigest(t, `D"o\e`, "p", "c"), "/",
			`Digest realm="", nonce="n", qop=auth, charset=utf-8`); got["username"] != `"D\"o\\e"` ||
			got["realm"] != `""` {
			t.Errorf("got %v", got)
		}
		if got := answered(t, newDigest(t, `é`, "p", "c"), "/",
			`Digest realm="r", nonce="n"`); got["username"] != `"é"` {
			t.Errorf("got %v", got)
		}
	})
}

func TestDigestChoosesTheBest(t *testing.T) {
	for name, c := range map[string]struct {
		lines     []string
		algorithm string // "" where nothing can be answered
	}{
		"the RFC's two":       {[]string{rfcSHA256, rfcMD5}, "SHA-256"},
		"in the other order":  {[]string{rfcMD5, rfcSHA256}, "SHA-256"},
		"in one line":         {[]string{`Basic realm="a, Digest b", Negotiate YII/+=, NTLM, ` + rfcMD5 + `, Bearer error="x", ` + rfcSHA256 + `, Foo`}, "SHA-256"},
		"SHA-512-256 and MD5": {[]string{rfcMD5, strings.Replace(rfcMD5, "=MD5", "=SHA-512-256-sess", 1)}, "SHA-512-256-sess"},
		"one is unknown":      {[]string{strings.Replace(rfcMD5, "=MD5", "=SHA-3", 1), rfcMD5}, "MD5"},
		"case":                {[]string{strings.Replace(rfcMD5, "Digest realm", "dIGEST REALM", 1)}, "MD5"},
		"quoted":              {[]string{strings.Replace(rfcMD5, "=MD5", `="md5"`, 1)}, "md5"},
		"none":                {nil, ""},
		"no digest":           {[]string{`Basic realm="r"`}, ""},
		"no nonce":            {[]string{`Digest realm="r"`}, ""},
		"no realm":            {[]string{`Digest nonce="n"`}, ""},
		"no known qop":        {[]string{`Digest realm="r", nonce="n", qop="auth-conf"`}, ""},
		"unterminated":        {[]string{`Digest realm="r", nonce="n`}, ""},
		"very long":           {[]string{`Digest realm="r", nonce="` + strings.Repeat("n", 5000) + `"`}, ""},
		"line break":          {[]string{"Digest realm=\"r\", nonce=\"n\r\nX: y\""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := mufasa(t)
			if got, _ := d.Challenge(http.Header{"Www-Authenticate": c.lines}); (got != nil) != (c.algorithm != "") {
				t.Fatalf("got %v", got)
			}
			if c.algorithm != "" {
				if got := answered(t, d, "/", c.lines...)["algorithm"]; got != c.algorithm {
					t.Errorf("got %s", got)
				}
				return
			}
			r := &sign.Request{Method: "GET", Path: "/", Header: http.Header{}, Body: failing{errors.New("read")}}
			if err := d.Sign(t.Context(), r); err != nil || len(r.Header) > 0 {
				t.Errorf("got %v, %v", err, r.Header)
			}
		})
	}
}

func TestDigestCounts(t *testing.T) {
	d := mufasa(t)
	nc := func(lines ...string) string { return answered(t, d, "/", lines...)["nc"] }
	stale := strings.Replace(rfcMD5, "7ypf", "new", 1) + ", stale=TRUE"
	got := []string{nc(rfcMD5), nc(), nc(rfcMD5), nc(stale), nc()}
	if want := []string{"00000001", "00000002", "00000003", "00000001", "00000002"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	d.Next(http.Header{"Authentication-Info": {`rspauth="00", nextnonce="next, really", nc=00000002`}})
	if got := answered(t, d, "/"); got["nc"] != "00000001" || !strings.HasPrefix(got["nonce"], `"next`) {
		t.Errorf("got %v", got)
	}
	for _, info := range []http.Header{
		nil,
		{"Authentication-Info": {""}},
		{"Authentication-Info": {`nextnonce="`}},
		{"Authentication-Info": {`qop=auth`}},
	} {
		d.Next(info)
	}
	if got := nc(); got != "00000002" {
		t.Errorf("got %s", got)
	}
	sign.Exhaust(d)
	r := &sign.Request{Method: "GET", Path: "/", Header: http.Header{}}
	if err := d.Sign(t.Context(), r); err != nil || len(r.Header) > 0 {
		t.Errorf("after 2^32-1 answers: got %v, %v", err, r.Header)
	}
}

// TestDigestInParallel: at a server that takes a nonce from few requests, or from one, each request that is challenged
// is right with its second sending, whatever others do; and no count is used twice.
func TestDigestInParallel(t *testing.T) {
	for _, uses := range []int{1, 10, 1 << 30} {
		var mu sync.Mutex
		nonces, used, seen := 0, map[string]int{}, map[string]bool{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if a := r.Header.Get("Authorization"); a != "" {
				p := parsed(t, a)
				want := md5hex(md5hex("u:r:p") + ":" + strings.Trim(p["nonce"], `"`) + ":" + p["nc"] + ":" +
					strings.Trim(p["cnonce"], `"`) + ":auth:" + md5hex(r.Method+":"+r.RequestURI))
				if p["response"] != `"`+want+`"` || seen[p["nonce"]+p["nc"]] {
					t.Errorf("wrong, or used twice: %v", p)
				}
				seen[p["nonce"]+p["nc"]] = true
				if used[p["nonce"]]++; used[p["nonce"]] <= uses {
					return
				}
			}
			nonces++
			w.Header().Add("WWW-Authenticate",
				fmt.Sprintf(`Digest realm="r", nonce="n%d", qop="auth", stale=true`, nonces))
			w.WriteHeader(http.StatusUnauthorized)
		}))
		d := newDigest(t, "u", "p", "c")
		var wg sync.WaitGroup
		var ok atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				for j := range 20 {
					if exchange(t, server, d, fmt.Sprintf("/%d?j=%d", i, j)) == http.StatusOK {
						ok.Add(1)
					}
				}
			})
		}
		wg.Wait()
		server.Close()
		if got := ok.Load(); got != 8*20 {
			t.Errorf("%d uses of a nonce: %d requests went through", uses, got)
		}
		if n := sign.Challenges(d); n > 64 {
			t.Errorf("%d challenges are remembered", n)
		}
	}
}

// exchange is a request as the gate sends it: once more when it is challenged.
func exchange(t *testing.T, server *httptest.Server, d *sign.Digest, target string) int {
	resp := send(t, server, d, target)
	if resp.StatusCode != http.StatusUnauthorized {
		d.Next(resp.Header)
		return resp.StatusCode
	}
	own := challenged(t, d, resp.Header["Www-Authenticate"]...)
	resp = send(t, server, own, target)
	if resp.StatusCode == http.StatusOK {
		own.Next(resp.Header)
	}
	return resp.StatusCode
}

func send(t *testing.T, server *httptest.Server, s sign.Signer, target string) *http.Response {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+target, nil)
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	if err := s.Sign(t.Context(), &sign.Request{
		Method: "GET", Path: req.URL.Path, RawQuery: req.URL.RawQuery,
		Header: req.Header,
	}); err != nil {
		t.Error(err)
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	_ = resp.Body.Close()
	return resp
}

// TestDigestAnswersItsOwn: two requests that were challenged at once answer each its own nonce, and a third none before
// one of them was taken.
func TestDigestAnswersItsOwn(t *testing.T) {
	d := mufasa(t)
	nonceOf := func(s sign.Signer) string {
		r := &sign.Request{Method: "GET", Path: "/", Header: http.Header{}}
		if err := s.Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return parsed(t, r.Header.Get("Authorization"))["nonce"]
	}
	first, second := challenged(t, d, `Digest realm="r", nonce="a", qop="auth"`), challenged(t, d,
		`Digest realm="r", nonce="b", qop="auth"`)
	bare := &sign.Request{Method: "GET", Path: "/", Header: http.Header{}}
	if err := d.Sign(t.Context(), bare); err != nil || len(bare.Header) > 0 {
		t.Errorf("a challenge that was not answered yet is another request's: %v, %v", bare.Header, err)
	}
	if got := []string{nonceOf(first), nonceOf(second), nonceOf(first)}; !cmp.Equal(got,
		[]string{`"a"`, `"b"`, `"a"`}) {
		t.Errorf("got %v", got)
	}
	first.Next(nil)
	if got := nonceOf(d); got != `"a"` {
		t.Errorf("after one was taken: %s", got)
	}
	if _, stale := d.Challenge(http.Header{
		"Www-Authenticate": {`Digest realm="r", nonce="c", qop="auth", stale=True`},
	}); !stale {
		t.Error("stale is not told")
	}
}

func TestDigestRefuses(t *testing.T) {
	for name, o := range map[string]sign.DigestOptions{
		"no user": {Secret: value("p")}, "no password": {Username: "u"}, "colon": {Username: "a:b", Secret: value("p")}, "line break": {Username: "a\nb", Secret: value("p")},
	} {
		if _, err := sign.NewDigest(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	d, err := sign.NewDigest(sign.DigestOptions{Username: "user", HideUser: true, Secret: value("password")})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s", d.Secrets()); got != "[password user]" {
		t.Errorf("got %s", got)
	}
}

// FuzzDigestChallenge: whatever a server sends, what goes out is one good header or nothing.
func FuzzDigestChallenge(f *testing.F) {
	for _, s := range []string{
		rfcMD5, rfcSHA256, `Basic realm="a, Digest b", Negotiate YII/+=, NTLM, ` + rfcMD5,
		`Digest realm=r,nonce=n,,qop="auth,auth-int"`, `Digest realm="\`, `a=b`, `Digest realm = "r" , nonce ="n"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d := newDigest(t, "u", "p", "c")
		s, _ := d.Challenge(http.Header{"Www-Authenticate": {line}})
		own, learnt := s.(answerer)
		if !learnt {
			own = d
		}
		own.Next(http.Header{"Authentication-Info": {line}})
		r := &sign.Request{Method: "GET", Path: "/", Header: http.Header{}}
		if err := own.Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got := r.Header.Get("Authorization")
		if learnt != (got != "") {
			t.Errorf("learnt %v, sent %q", learnt, got)
		}
		for _, c := range []byte(got) {
			if c < ' ' || c == 0x7f {
				t.Errorf("sent %q", got)
			}
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	d := mufasa(b)
	s, _ := d.Challenge(http.Header{"Www-Authenticate": {rfcSHA256}})
	bench(b, s, nil)
}

package service_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/exchange"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
)

func expiry(tb testing.TB, rules ...credential.ExpiredWhen) *service.Expiry {
	tb.Helper()
	c := config.Service{Upstream: &url.URL{Scheme: "https", Host: "api.example.com"}}
	for i := range rules {
		c.Credentials = append(c.Credentials,
			config.Credential{
				Kind:     "exchange",
				Settings: &exchange.Settings{Token: credential.Token{ExpiredWhen: &rules[i]}},
			})
	}
	s, err := service.New("api", &c)
	if err != nil {
		tb.Fatal(err)
	}
	return s.Expiry
}

func body(pointer string, in ...string) credential.ExpiredWhen {
	return credential.ExpiredWhen{
		Status: []int{401},
		Body:   &credential.ExpiredBody{Pointer: pointer, In: in, Within: 1 << 10},
	}
}

func TestExpirySays(t *testing.T) {
	e := expiry(t, body("/errors/1/code", "601", "602"), body("/a~1b/c~0d", "gone", "true", "1e3"))
	for text, want := range map[string]bool{
		`{"errors":[{"code":"602"},{"code":"600"}]}`: false, `{"errors":[{},{"code":"602"}]}`: true, `{"errors":[{},{"x":[{"code":1}],"code":601}]}`: true, `{"errors":{"1":{"code":601}}}`: true,
		`{"a/b":{"c~d":"gone"}}`: true, `{"a/b":{"c~d":true}}`: true, `{"a/b":{"c~d":1000}}`: true, `{"a/b":{"c~d":"1000"}}`: false, `{"a/b":{"c~d":null}}`: false, `{"a/b":{"c~d":{"gone":1}}}`: false,
		`{"x":{"errors":[0,{"code":601}]}}`: false, `[{"code":601},{"code":601}]`: false, `"gone"`: false, ``: false, `{`: false, `{"errors":[{},{"code":602}`: true, `{"errors":[1`: false, `]`: false, `{"a/b"`: false,
	} {
		if got := e.Says(strings.NewReader(text)); got != want {
			t.Errorf("%s: got %t", text, got)
		}
		if got := e.Says(iotest.OneByteReader(strings.NewReader(text))); got != want {
			t.Errorf("%s, bytewise: got %t", text, got)
		}
	}
}

// TestExpiryReadsNoFurther: an answer that goes on is not waited for when its beginning has said enough.
func TestExpiryReadsNoFurther(t *testing.T) {
	e := expiry(t, body("/code", "1"))
	for _, text := range []string{
		`{"code":0,`, `{"code":1,`, `{"x":1}`, `[1]`, `[{"a":1},`,
		`{"x":[{"code":1}],"code":0,`, `"x"`, "event: x",
	} {
		further := func(p []byte) (int, error) { t.Errorf("%s: read further", text); return 0, io.EOF }
		e.Says(io.MultiReader(iotest.OneByteReader(strings.NewReader(text)), reads(further)))
	}
}

type reads func([]byte) (int, error)

func (r reads) Read(p []byte) (int, error) { return r(p) }

func TestExpiryByStatusAndType(t *testing.T) {
	var none *service.Expiry
	e, status := expiry(t, body("/code", "1")), expiry(t, credential.ExpiredWhen{Status: []int{401, 403}})
	if none.ByStatus(401) || none.InBody(http.Header{}) || !e.ByStatus(401) || e.ByStatus(403) ||
		!status.ByStatus(403) || status.InBody(http.Header{}) {
		t.Error("wrong by status")
	}
	for kind, want := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "application/vnd.api+json": true, "text/plain": true, "": true, "broken;;": true,
		"text/event-stream": false, "text/html": false, "application/octet-stream": false, "image/png": false,
	} {
		h := http.Header{"Content-Type": {kind}}
		if kind == "" {
			h = http.Header{}
		}
		if got := e.InBody(h); got != want {
			t.Errorf("%q: got %t", kind, got)
		}
	}
}

// FuzzExpiry compares with a look-up in the decoded document.
func FuzzExpiry(f *testing.F) {
	for _, s := range []string{
		`{"a":{"b":1}}`, `{"a":[{"b":"1"},{"b":1}]}`, `[[1,2],3]`,
		`{"a":{"b":{"b":1}},"b":true}`, `{`,
	} {
		f.Add([]byte(s))
	}
	rules := []credential.ExpiredWhen{
		body("/a/b", "1", "true"), body("/a/1/b", "1"),
		body("/0/1", "2"), body("/b", "x"),
	}
	e := expiry(f, rules...)
	f.Fuzz(func(t *testing.T, raw []byte) {
		e.Says(strings.NewReader(string(raw)))
		var doc any
		if json.Unmarshal(raw, &doc) != nil {
			return
		}
		clean, err := json.Marshal(doc) // no name stands twice
		if err != nil {
			return
		}
		want := slices.ContainsFunc(rules, func(r credential.ExpiredWhen) bool {
			return slices.ContainsFunc(r.Body.In, func(in string) bool {
				found, ok := lookup(doc, strings.Split(r.Body.Pointer, "/")[1:])
				n, number := found.(float64)
				w, err := strconv.ParseFloat(in, 64)
				_, list := found.([]any)
				_, object := found.(map[string]any)
				return ok && !list && !object &&
					(fmt.Sprint(found) == in && found != nil || number && err == nil && n == w)
			})
		})
		if got := e.Says(strings.NewReader(string(clean))); got != want {
			t.Errorf("%s: got %t, want %t", clean, got, want)
		}
	})
}

func lookup(doc any, steps []string) (any, bool) {
	for _, s := range steps {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[s]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(s)
			if err != nil || i < 0 || i >= len(d) || strconv.Itoa(i) != s {
				return nil, false
			}
			doc = d[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

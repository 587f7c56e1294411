package override_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/boundary/override"
)

// TestHeader: every header by which a framework takes another method, in every spelling that reaches it.
func TestHeader(t *testing.T) {
	for _, name := range []string{
		"X-HTTP-Method-Override", "X_HTTP_Method_Override", "x_http_method_override", "X-Http_Method-Override", "X-HTTP-Method", "X_HTTP_METHOD",
		"X-Method-Override", "X-Method", "X_Method", "Method-Override", "HTTP-Method-Override", "X-Tunneled-Method", "X-HTTP-Verb", "X-Original-Method", "_method",
		"X.HTTP.Method.Override", "X-HTTP-Method-Override-", "-X-HTTP-Method-Override",
	} {
		for value, want := range map[string][]string{
			"DELETE": {"DELETE"}, "delete": {"DELETE"}, " dElEtE ": {"DELETE"}, "FROB": {"FROB"}, "GET, delete": {"GET", "DELETE"}, "": nil, `"PUT"`: {"PUT"},
		} {
			h := http.Header{http.CanonicalHeaderKey(name): {value}}
			var got []string
			for _, method := range override.Header(maps.All(h)) {
				got = append(got, method)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q: got %q, want %q", name, value, got, want)
			}
		}
	}
	for name, value := range map[string]string{
		"X-Payment-Method": "card", "X-Auth-Method": "basic", "Access-Control-Request-Method": "DELETE", "Accept": "DELETE", "X-Verbose": "1",
	} {
		for field := range override.Header(maps.All(http.Header{name: {value}})) {
			t.Errorf("%s: %s counts as an override", field, value)
		}
	}
	for range override.Header(maps.All(http.Header{"X-Request-Method": {"delete"}})) {
		return // any name that speaks of a method counts where the value is one
	}
	t.Error("X-Request-Method: delete does not count")
}

func TestQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"_method=DELETE": "DELETE", "a=b&_method=delete": "DELETE", "_HttpMethod=PATCH": "PATCH", "_httpmethod=PATCH": "PATCH", "%5fmethod=DELETE": "DELETE",
		"_m%65thod=%44ELETE": "DELETE", "_method=DELETE&_method=GET": "DELETE GET", "a;_method=DELETE": "DELETE", "_method[]=DELETE": "DELETE", ".method=DELETE": "DELETE",
		"X-HTTP-Method-Override=DELETE": "DELETE", "x_http_method_override=PUT": "PUT", "method=delete": "DELETE", "_method_override=PUT": "PUT", "$httpMethod=PUT": "PUT",
		"%24httpMethod=PUT": "PUT", "opt_method=PUT": "PUT", "_METHOD=FROB": "FROB", "_method=+delete+": "DELETE", "__method=GET": "GET", "$httpHeaders=X": "?",
		"method=flickr.test": "", "payment_method=card": "", "_method=": "", "_method": "", "a=_method": "", "": "", "methodology=x": "", "http_method=FROB": "FROB",
	} {
		var got []string
		for _, method := range override.Query(raw) {
			got = append(got, method)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}

const (
	form  = "application/x-www-form-urlencoded"
	multi = "multipart/form-data; boundary=b"
)

func part(line string) string {
	return "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b\r\n" + line +
		"\r\n\r\nDELETE\r\n--b--\r\n"
}

// TestBody: a field that names a method is seen before the whole of it has passed, however the body is cut.
func TestBody(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		want              bool
	}{
		{form, "_method=DELETE", true},
		{form, "a=b&_method=DELETE&c=d", true},
		{form, "a=b;%5Fm%65thod=DELETE", true},
		{form, "a=b&++%20_METHOD=PUT", true},
		{form, strings.Repeat("+", 1000) + "_method=PUT", true},
		{form, "a=b&.method=PUT", true},
		{form, "a=b&_method[]=PUT", true},
		{form, "X-HTTP-Method-Override=PUT", true},
		{form, "x-tunneled-method=PUT", true},
		{"", "_method=DELETE", true},
		{"Application/X-WWW-Form-URLEncoded; charset=utf-8", "_method=DELETE", true},
		{form, "method=DELETE&a=_method&httpMethod=GET&payment_method=card&x=_method", false},
		{form, "a=b=_method=c", false},
		{multi, part(`Content-Disposition: form-data; name="_method"`), true},
		{multi, part(`content-disposition:form-data;name=_method`), true},
		{multi, part("Content-Disposition: form-data;\r\n\tname=\"_method\""), true},
		{multi, part(`Content-Disposition: form-data; filename="x"; name = "_Method"`), true},
		{multi, part(`Content-Disposition: form-data; name*=utf-8''%5Fmethod`), true},
		{multi, part(`Content-Disposition: form-data; name*0="_me"; name*1="thod"`), true},
		{multi, part(`Content-Disposition: form-data; name="_\method"`), true},
		{multi, part("Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"_method\""), true},
		{multi, part("Content-Disposition: form-data; x=\"" + strings.Repeat("x", 9<<10) + "\"; name=\"_method\""), true},
		{"multipart/mixed; boundary=b", part(`Content-Disposition: form-data; name="_method"`), true},
		{multi, part(`Content-Disposition: form-data; name="file"; filename="_method"`), false},
		{multi, part(`Content-Disposition: form-data; name="method"`), false},
		{multi, "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n<input name=\"_method\">\r\n--b--", false},
		{"application/json", `{"_method":"DELETE"}`, true},
		{"application/vnd.api+json", ` { "a" : {"b":[1,"{"]}, "_m\u0065thod" : "DELETE"}`, true},
		{"application/json", `{"a":"_method","b":{"_method":"DELETE"},"c":["_method"],"d":"\"_method\":1","method":"DELETE","httpMethod":"POST"}`, false},
		{"application/json", `["_method"]`, false},
		{"text/plain", "_method=DELETE", false},
		{"application/octet-stream", "_method=DELETE", false},
	} {
		for _, step := range []int{1, 2, 3, 7, len(c.body)} {
			got, passed := false, 0
			if b := override.NewBody([]string{c.contentType}, nil); b != nil {
				for rest := c.body; rest != "" && !got; {
					n := min(step, len(rest))
					if got = b.Found([]byte(rest[:n])); !got {
						passed += n
					}
					rest = rest[n:]
				}
			}
			if got != c.want {
				t.Errorf("%s, %d bytes at a time: %q: got %v, want %v", c.contentType, step, c.body, got, c.want)
			}
			if i := strings.LastIndex(c.body, "DELETE"); got && i >= 0 && passed > i {
				t.Errorf("%s, %d bytes at a time: %q: the value had passed", c.contentType, step, c.body)
			}
		}
	}
}

func TestCodedForm(t *testing.T) {
	for _, c := range []struct {
		contentType, coding string
		want                bool
	}{
		{form, "gzip", true},
		{multi, "br", true},
		{form, "identity", false},
		{form, "", false},
		{"application/json", "gzip", false},
	} {
		if b := override.NewBody([]string{c.contentType}, []string{c.coding}); b.Coded() != c.want {
			t.Errorf("%s in %q: got %v, want %v", c.contentType, c.coding, b.Coded(), c.want)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("a=b&_method=DELETE", 3)
	f.Add(part(`Content-Disposition: form-data; name="_method"`), 5)
	f.Fuzz(func(t *testing.T, body string, step int) {
		step = max(1, step)
		for _, contentType := range []string{form, multi, "application/json"} {
			whole := override.NewBody([]string{contentType}, nil).Found([]byte(body))
			b, cut := override.NewBody([]string{contentType}, nil), false
			for rest := body; rest != ""; {
				n := min(step, len(rest))
				cut = b.Found([]byte(rest[:n]))
				rest = rest[n:]
			}
			if cut != whole {
				t.Errorf("%s: in pieces of %d: %v, whole: %v", contentType, step, cut, whole)
			}
		}
	})
}

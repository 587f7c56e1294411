package sign_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	token     = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)

// whole is a body that is there.
type whole string

func (w whole) Whole(context.Context) (io.ReadSeeker, int64, error) {
	return strings.NewReader(string(w)), int64(len(w)), nil
}

// failing is a body that is not available.
type failing struct{ error }

func (f failing) Whole(context.Context) (io.ReadSeeker, int64, error) { return nil, 0, f.error }

func value(s string) secret.Value { return secret.NewValue([]byte(s)) }

func sigv4(t testing.TB, o sign.SigV4Options) *sign.SigV4 {
	t.Helper()
	o.AccessKey, o.SecretKey = accessKey, value(secretKey)
	s, err := sign.NewSigV4(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// suite is AWS's published Signature Version 4 test suite: the request line, the headers beside Host and X-Amz-Date,
// the body, and the signature that is expected. Its raw paths and queries count as they stand.
var suite = []struct {
	name, method, target string
	header               http.Header
	body                 string
	signed               string // beside host and x-amz-date
	signature            string
}{
	{"get-vanilla", "GET", "/", nil, "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-query", "GET", "/", nil, "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-empty-query-key", "GET", "/?Param1=value1", nil, "", "", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
	{"get-vanilla-query-order-key", "GET", "/?Param1=value2&Param1=Value1", nil, "", "", "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
	{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", nil, "", "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-vanilla-query-order-value", "GET", "/?Param1=value2&Param1=value1", nil, "", "", "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
	{"get-vanilla-query-unreserved", "GET", "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "", "", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
	{"get-vanilla-utf8-query", "GET", "/?ሴ=bar", nil, "", "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", nil, "", "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-utf8", "GET", "/ሴ", nil, "", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
	{"get-header-key-duplicate", "GET", "/", http.Header{"My-Header1": {"value2", "value2", "value1"}}, "", "my-header1", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
	// folded lines of one header there
	{"get-header-value-multiline", "GET", "/", http.Header{"My-Header1": {"value1", "value2", "value3"}}, "", "my-header1", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"},
	{"get-header-value-order", "GET", "/", http.Header{"My-Header1": {"value4", "value1", "value3", "value2"}}, "", "my-header1", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
	{"get-header-value-trim", "GET", "/", http.Header{"My-Header1": {" value1"}, "My-Header2": {` "a   b   c"`}}, "", "my-header1;my-header2", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"normalize-path/get-relative", "GET", "/example/..", nil, "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"normalize-path/get-relative-relative", "GET", "/example1/example2/../..", nil, "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"normalize-path/get-slash", "GET", "//", nil, "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"normalize-path/get-slash-dot-slash", "GET", "/./", nil, "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"normalize-path/get-slash-pointless-dot", "GET", "/./example", nil, "", "", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
	{"normalize-path/get-slashes", "GET", "//example//", nil, "", "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
	{"normalize-path/get-space", "GET", "/example space/", nil, "", "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
	{"post-header-key-case", "POST", "/", nil, "", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-header-key-sort", "POST", "/", http.Header{"My-Header1": {"value1"}}, "", "my-header1", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{"post-header-value-case", "POST", "/", http.Header{"My-Header1": {"VALUE1"}}, "", "my-header1", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
	// the token is put on afterwards there
	{"post-sts-header-after", "POST", "/", nil, "", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-vanilla", "POST", "/", nil, "", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-vanilla-empty-query-value", "POST", "/?Param1=value1", nil, "", "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
	{"post-vanilla-query", "POST", "/?Param1=value1", nil, "", "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
	{"post-x-www-form-urlencoded", "POST", "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "Param1=value1", "content-type", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	{"post-x-www-form-urlencoded-parameters", "POST", "/", http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf8"}}, "Param1=value1", "content-type", "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
}

func TestSigV4Suite(t *testing.T) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			path, query, _ := strings.Cut(c.target, "?")
			r := &sign.Request{
				Method: c.method, Scheme: "https", Host: "example.amazonaws.com", Path: path,
				RawQuery: query, Header: http.Header{}, Now: suiteTime,
			}
			maps.Copy(r.Header, c.header)
			if c.body != "" {
				r.Body = whole(c.body)
			}
			if err := sigv4(t,
				sign.SigV4Options{Region: "us-east-1", Service: "service"}).Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			names := strings.Split("host;x-amz-date", ";")
			if c.signed != "" {
				names = append(strings.Split(c.signed, ";"), names...)
			}
			want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" +
				sorted(names) + ", Signature=" + c.signature
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func sorted(names []string) string {
	for i := range names {
		for j := range i {
			if names[i] < names[j] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	return strings.Join(names, ";")
}

// TestSigV4Documented holds us to post-sts-header-before of the suite and to the examples of Amazon S3's reference
// ("Signature Calculations for the Authorization Header").
func TestSigV4Documented(t *testing.T) {
	s3Time := time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		key, secret string
		o           sign.SigV4Options
		r           sign.Request
		want        string
	}{
		"post-sts-header-before": {
			accessKey, secretKey,
			sign.SigV4Options{Region: "us-east-1", Service: "service", SessionToken: value(token)},
			sign.Request{Method: "POST", Host: "example.amazonaws.com", Path: "/", Now: suiteTime},
			"SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
		},
		"S3 GET object": {
			"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			sign.SigV4Options{},
			sign.Request{
				Method: "GET", Host: "examplebucket.s3.amazonaws.com", Path: "/test.txt",
				Header: http.Header{"Range": {"bytes=0-9"}}, Now: s3Time,
			},
			"SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		"S3 PUT object": {
			"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			sign.SigV4Options{},
			sign.Request{
				Method: "PUT", Host: "examplebucket.s3.amazonaws.com", Path: "/test$file.text",
				Body: whole("Welcome to Amazon S3."), Now: s3Time,
				Header: http.Header{
					"Date":                {"Fri, 24 May 2013 00:00:00 GMT"},
					"X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"},
				},
			},
			"SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		},
		"S3 GET bucket lifecycle": {
			"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			sign.SigV4Options{},
			sign.Request{
				Method: "GET", Host: "examplebucket.s3.amazonaws.com", Path: "/",
				RawQuery: "lifecycle", Now: s3Time,
			},
			"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
		},
		"S3 list": {
			"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
			sign.SigV4Options{},
			sign.Request{
				Method: "GET", Host: "examplebucket.s3.amazonaws.com", Path: "/",
				RawQuery: "max-keys=2&prefix=J", Now: s3Time,
			},
			"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.AccessKey, c.o.SecretKey = c.key, value(c.secret)
			s, err := sign.NewSigV4(c.o)
			if err != nil {
				t.Fatal(err)
			}
			if c.r.Header == nil {
				c.r.Header = http.Header{}
			}
			c.r.Scheme = "https"
			if err := s.Sign(t.Context(), &c.r); err != nil {
				t.Fatal(err)
			}
			if got := c.r.Header.Get("Authorization"); !strings.HasSuffix(got, c.want) {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestSigV4AgainstSDK signs random requests with AWS's own signer and with ours.
func TestSigV4AgainstSDK(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		service := pick(rng, "s3", "dynamodb", "execute-api", "ses", "es", "s3tables")
		o := sign.SigV4Options{Service: service, Region: pick(rng, "us-east-1", "eu-central-1", "us-gov-west-1")}
		creds := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
		if rng.IntN(2) == 0 {
			o.SessionToken, creds.SessionToken = value(token), token
		}
		r := randomRequest(rng)
		if service == "s3" {
			// the SDK leaves it, where S3's rule is to sign a plain slash
			r.Path = strings.ReplaceAll(r.Path, "%2F", "%2B")
		}
		theirs := toHTTP(r)
		meant, err := url.ParseQuery(r.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		payload := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		if body, ok := r.Body.(whole); ok {
			payload = fmt.Sprintf("%x", sha(string(body)))
		}
		if service == "s3" {
			theirs.Header["X-Amz-Content-Sha256"] = []string{payload}
		}
		before := describe(r)
		err = v4.NewSigner().SignHTTP(t.Context(), creds, theirs, payload, service, o.Region, r.Now,
			func(so *v4.SignerOptions) {
				so.DisableURIPathEscaping = service == "s3"
			})
		if err != nil {
			t.Fatal(err)
		}
		if err := sigv4(t, o).Sign(t.Context(), r); err != nil {
			t.Fatalf("%d: %s: %v", i, before, err)
		}
		if diff := cmp.Diff(map[string][]string(theirs.Header), map[string][]string(r.Header)); diff != "" {
			t.Fatalf("%d: %s (-theirs +ours):\n%s", i, before, diff)
		}
		if got, err := url.ParseQuery(r.RawQuery); err != nil || !cmp.Equal(got, meant) {
			t.Fatalf("%d: the query means something else now: %q, %v", i, r.RawQuery, err)
		}
	}
}

func describe(r *sign.Request) string {
	return fmt.Sprintf("%s %s%s?%s %v", r.Method, r.Host, r.Path, r.RawQuery, r.Header)
}

func pick(rng *rand.Rand, all ...string) string { return all[rng.IntN(len(all))] }

// letters is some characters of every class: unreserved, sub-delimiters, and beyond ASCII.
var letters = []rune("abzAZ019-_.~ !\"#$%&'()*+,/:;<=>?@[\\]^`{|}é\u1234\U0001F600\x7f")

func randomText(rng *rand.Rand, longest int) string {
	s := make([]rune, rng.IntN(longest+1))
	for i := range s {
		s[i] = letters[rng.IntN(len(letters))]
	}
	return string(s)
}

func randomRequest(rng *rand.Rand) *sign.Request {
	r := &sign.Request{
		Method: pick(rng, "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"), Scheme: "https",
		Host:   pick(rng, "bucket.s3.eu-central-1.amazonaws.com", "localhost:9000", "example.com:8443", "a.b"),
		Header: http.Header{},
		Now:    time.Unix(rng.Int64N(4e9), rng.Int64N(1e9)),
	}
	for range rng.IntN(4) {
		r.Path += "/x" + awsEscape(randomText(rng, 6))
	}
	if rng.IntN(3) == 0 || r.Path == "" {
		r.Path += "/"
	}
	var pairs []string
	for range rng.IntN(5) {
		pair := url.QueryEscape(pick(rng, "a", "A", "a-", "a b", "X-Amz-Meta", randomText(rng, 3)+"k"))
		if rng.IntN(4) > 0 {
			pair += "=" + url.QueryEscape(randomText(rng, 6))
		}
		pairs = append(pairs, pair)
	}
	r.RawQuery = strings.Join(pairs, "&")
	for range rng.IntN(5) {
		name := http.CanonicalHeaderKey(pick(rng, "x-amz-meta-a", "x-amz-meta-a-b", "content-type", "x-amz-acl",
			"range", "date", "my-header", "x-amz-target", "cookie"))
		r.Header[name] = append(r.Header[name], strings.ReplaceAll(randomText(rng, 10), "\x7f", "  "))
	}
	if rng.IntN(2) == 0 {
		r.Body = whole(randomText(rng, 50))
	}
	return r
}

// awsEscape encodes as AWS's own clients do.
func awsEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func toHTTP(r *sign.Request) *http.Request {
	out := &http.Request{
		Method: r.Method, Host: r.Host,
		URL:    &url.URL{Scheme: r.Scheme, Host: r.Host, Opaque: "//" + r.Host + r.Path, RawQuery: r.RawQuery},
		Header: http.Header{},
	}
	for name, values := range r.Header {
		out.Header[name] = append([]string(nil), values...)
	}
	return out
}

// TestSigV4S3Path: however the caller encodes a key, S3 sees the one canonical form of it.
func TestSigV4S3Path(t *testing.T) {
	authorization := func(path string) string {
		r := &sign.Request{
			Method: "GET", Scheme: "https", Host: "b.s3.eu-west-1.amazonaws.com", Path: path,
			Header: http.Header{}, Now: suiteTime,
		}
		if err := sigv4(t, sign.SigV4Options{}).Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("Authorization")
	}
	want := authorization("/a%28b%29%3D%C3%A9/~c")
	for _, path := range []string{"/a(b)=%c3%a9/~c", "/a(b)%3d%C3%A9/%7Ec"} {
		if got := authorization(path); got != want {
			t.Errorf("%s: got %s", path, got)
		}
	}
	if authorization("/a//b") == authorization("/a/b") {
		t.Error("S3's path was normalised")
	}
}

func TestSigV4Payload(t *testing.T) {
	tooLarge := failing{fault.New(fault.BodyTooLarge, "too large")}
	truncated := failing{fault.New(fault.RequestMalformed, "ended short")}
	hash := fmt.Sprintf("%x", sha("the body"))
	for name, c := range map[string]struct {
		service, scheme string
		large           bool
		declared        string
		body            sign.Body
		want            string // X-Amz-Content-Sha256
		code            fault.Code
	}{
		"S3":                          {"s3", "https", false, "", whole("the body"), hash, ""},
		"S3, declared hash":           {"s3", "https", false, hash, tooLarge, hash, ""},
		"S3, unsigned by the caller":  {"s3", "https", false, "UNSIGNED-PAYLOAD", tooLarge, "UNSIGNED-PAYLOAD", ""},
		"S3, unsigned over http":      {"s3", "http", false, "UNSIGNED-PAYLOAD", whole("the body"), hash, ""},
		"S3, nonsense declared":       {"s3", "https", false, "nonsense", whole("the body"), hash, ""},
		"S3, chunks without keys":     {"s3", "https", false, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", tooLarge, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", ""},
		"S3, chunks with signatures":  {"s3", "https", false, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", whole("x"), "", fault.RequestMalformed},
		"S3, too large":               {"s3", "https", false, "", tooLarge, "", fault.BodyTooLarge},
		"S3, too large, allowed":      {"s3", "https", true, "", tooLarge, "UNSIGNED-PAYLOAD", ""},
		"S3, too large, http":         {"s3", "http", true, "", tooLarge, "", fault.BodyTooLarge},
		"others, too large":           {"sqs", "https", true, "", tooLarge, "", fault.BodyTooLarge},
		"truncated":                   {"s3", "https", true, "", truncated, "", fault.RequestMalformed},
		"others do not send the hash": {"sqs", "https", false, "", whole("the body"), "", ""},
		"others, declared":            {"sqs", "https", false, hash, tooLarge, hash, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &sign.Request{
				Method: "PUT", Scheme: c.scheme, Host: "h", Path: "/", RawQuery: "a=b+c",
				Header: http.Header{"A": {"b"}}, Body: c.body, Now: suiteTime,
			}
			if c.declared != "" {
				r.Header["X-Amz-Content-Sha256"] = []string{c.declared}
			}
			before := describe(r)
			err := sigv4(t, sign.SigV4Options{
				Region: "r", Service: c.service, UnsignedLarge: c.large,
				SessionToken: value(token),
			}).Sign(t.Context(), r)
			f, _ := errors.AsType[*fault.Fault](err)
			switch {
			case c.code != "":
				if f == nil || f.Code != c.code || describe(r) != before {
					t.Errorf("got %v and %s", err, describe(r))
				}
			case err != nil || r.Header.Get("X-Amz-Content-Sha256") != c.want || r.Header.Get("Authorization") == "":
				t.Errorf("got %v and %v", err, r.Header)
			}
		})
	}
}

func TestSigV4LeavesAlone(t *testing.T) {
	r := &sign.Request{
		Method: "GET", Scheme: "https", Host: "b.s3.amazonaws.com", Path: "/k",
		RawQuery: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a+b&X-Amz-Signature=00",
		Header:   http.Header{"A": {"b"}}, Body: failing{errors.New("read")}, Now: suiteTime,
	}
	before := describe(r)
	if err := sigv4(t, sign.SigV4Options{}).Sign(t.Context(), r); err != nil || describe(r) != before {
		t.Errorf("got %v and %s", err, describe(r))
	}
	r.RawQuery = ""
	r.Header = http.Header{
		"X-Amz-Security-Token": {"the caller's"}, "User-Agent": nil,
		"X-Amz-Date": {"19700101T000000Z"}, "Authorization": {"the caller's"},
	}
	if err := sigv4(t, sign.SigV4Options{}).Sign(t.Context(),
		&sign.Request{
			Method: "GET", Scheme: "https", Host: r.Host, Path: "/", Header: r.Header,
			Now: suiteTime,
		}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.Header); strings.Contains(got, "caller") || !strings.Contains(got, "20150830T123600Z") ||
		strings.Contains(got, "1970") {
		t.Errorf("got %s", got)
	}
}

func TestSigV4Refuses(t *testing.T) {
	for name, o := range map[string]sign.SigV4Options{
		"no key":         {SecretKey: value(secretKey)},
		"no secret":      {AccessKey: accessKey},
		"key with slash": {AccessKey: "A/B", SecretKey: value(secretKey)},
		"token":          {AccessKey: accessKey, SecretKey: value(secretKey), SessionToken: value("a\r\nX: y")},
		"region":         {AccessKey: accessKey, SecretKey: value(secretKey), Region: "a/b"},
	} {
		if _, err := sign.NewSigV4(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r := &sign.Request{Method: "GET", Host: "minio.local:9000", Path: "/", Header: http.Header{}}
	if err := sigv4(t, sign.SigV4Options{}).Sign(t.Context(), r); err == nil || fault.HintOf(err) == "" ||
		len(r.Header) > 0 {
		t.Errorf("got %v", err)
	}
	for _, bad := range []*sign.Request{{RawQuery: "a=%zz"}, {RawQuery: "%"}, {Path: "/%1"}} {
		bad.Header = http.Header{}
		if err := sigv4(t, sign.SigV4Options{Region: "r", Service: "s3"}).Sign(t.Context(), bad); err == nil ||
			len(bad.Header) > 0 {
			t.Errorf("%+v: got %v", bad, err)
		}
	}
}

func TestSigV4Secrets(t *testing.T) {
	got := fmt.Sprintf("%s", sigv4(t, sign.SigV4Options{SessionToken: value(token), HideAccessKey: true}).Secrets())
	if want := fmt.Sprintf("%s", []string{secretKey, token, accessKey}); got != want {
		t.Errorf("got %s", got)
	}
}

func TestAWSScope(t *testing.T) {
	for host, want := range map[string]string{
		"sqs.eu-west-1.amazonaws.com":                  "sqs eu-west-1",
		"sqs.eu-west-1.amazonaws.com:443":              "sqs eu-west-1",
		"dynamodb.us-gov-west-1.amazonaws.com":         "dynamodb us-gov-west-1",
		"ec2.cn-north-1.amazonaws.com.cn":              "ec2 cn-north-1",
		"s3.amazonaws.com":                             "s3 us-east-1",
		"b.s3.amazonaws.com":                           "s3 us-east-1",
		"my.bucket.s3.eu-central-1.amazonaws.com":      "s3 eu-central-1",
		"b.s3-eu-west-1.amazonaws.com":                 "s3 eu-west-1",
		"b.s3.dualstack.eu-west-1.amazonaws.com":       "s3 eu-west-1",
		"s3-fips.us-east-2.amazonaws.com":              "s3 us-east-2",
		"ap-1.s3-accesspoint.us-west-2.amazonaws.com":  "s3 us-west-2",
		"iam.amazonaws.com":                            "iam us-east-1",
		"sts.amazonaws.com":                            "sts us-east-1",
		"abc123.execute-api.eu-west-1.amazonaws.com":   "execute-api eu-west-1",
		"abc.lambda-url.eu-west-1.on.aws":              "lambda eu-west-1",
		"lambda.eu-west-1.api.aws":                     "lambda eu-west-1",
		"search-x-y.eu-west-1.es.amazonaws.com":        "es eu-west-1",
		"abc.us-east-1.aoss.amazonaws.com":             "aoss us-east-1",
		"email.us-east-1.amazonaws.com":                "ses us-east-1",
		"email-smtp.us-east-1.amazonaws.com":           "email-smtp us-east-1",
		"bedrock-runtime.us-east-1.amazonaws.com":      "bedrock us-east-1",
		"runtime.sagemaker.us-east-1.amazonaws.com":    "sagemaker us-east-1",
		"api.ecr.us-east-1.amazonaws.com":              "ecr us-east-1",
		"kms-fips.ca-central-1.amazonaws.com":          "kms ca-central-1",
		"eu-west-1.queue.amazonaws.com":                "sqs eu-west-1",
		"vpce-1a2b-x.sqs.us-east-1.vpce.amazonaws.com": "sqs us-east-1",
		"B.S3.EU-WEST-1.AmazonAWS.com":                 "s3 eu-west-1",
		"example.amazonaws.com":                        "",
		"example.com":                                  "",
		"s3.eu-west-1.amazonaws.com.evil.example":      "",
		"minio:9000":                                      "",
		"amazonaws.com":                                   "",
		"lambda.amazonaws.com":                            "",
		"notamazonaws.com":                                "",
		"ssm.eu-isoe-west-1.amazonaws.com":                "ssm eu-isoe-west-1",
		"streams.dynamodb.us-east-1.amazonaws.com":        "dynamodb us-east-1",
		"bedrock-agent-runtime.eu-west-3.amazonaws.com":   "bedrock eu-west-3",
		"s3.eu-west-1.api.amazonwebservices.com.cn":       "s3 eu-west-1",
		"transcribestreaming.eu-west-1.amazonaws.com":     "transcribe eu-west-1",
		"123456789012.s3-control.eu-west-1.amazonaws.com": "s3 eu-west-1",
		"x.s3-object-lambda.eu-west-1.amazonaws.com":      "s3-object-lambda eu-west-1",
		"abcdefghij.appsync-api.eu-west-1.amazonaws.com":  "appsync eu-west-1",
		"polly.eu-west-1.amazonaws.com":                   "polly eu-west-1",
		"secretsmanager.eu-west-1.amazonaws.com":          "secretsmanager eu-west-1",
	} {
		service, region, ok := sign.AWSScope(host)
		got := ""
		if ok {
			got = service + " " + region
		}
		if got != want {
			t.Errorf("%s: got %q (%q, %q), want %q", host, got, service, region, want)
		}
	}
}

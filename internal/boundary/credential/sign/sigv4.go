package sign

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// SigV4Options are an access key of AWS, and what it signs for.
type SigV4Options struct {
	AccessKey     string // AKIA…, ASIA…
	HideAccessKey bool   // it comes from a store and must not come back either
	SecretKey     secret.Value
	SessionToken  secret.Value // of temporary credentials; zero: none
	Region        string       // "": from the host
	Service       string       // the signing name: s3, execute-api, ses…; "": from the host
	// S3 over https: a body larger than can be kept goes as UNSIGNED-PAYLOAD instead of being refused
	UnsignedLarge bool
}

// SigV4 is AWS Signature Version 4, in the Authorization header (Reference: "Create a signed AWS API request").
//
// The payload's hash needs the whole body, unless the caller declares it in X-Amz-Content-Sha256: a hash it has
// computed itself (the service verifies it), UNSIGNED-PAYLOAD over https, or STREAMING-UNSIGNED-PAYLOAD-TRAILER for an
// aws-chunked body: then the body streams through untouched. Chunks that are signed one by one (STREAMING-AWS4-…) hang
// on a key that the caller does not have, and are refused. A request with X-Amz-Signature in its query is signed
// already and stays as it is.
type SigV4 struct {
	o   SigV4Options
	key atomic.Pointer[scopedKey]
}

// scopedKey is the signing key of one day, region and service.
type scopedKey struct {
	scope string
	key   []byte
}

const (
	sigAlgorithm    = "AWS4-HMAC-SHA256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	emptySHA256     = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

	headerAmzDate  = "X-Amz-Date"
	headerAmzToken = "X-Amz-Security-Token"
	headerAmzHash  = "X-Amz-Content-Sha256"
)

// SigV4Headers are the headers beside Authorization that a signature sets, some of them where they are needed alone.
func SigV4Headers() []string { return []string{headerAmzDate, headerAmzToken, headerAmzHash} }

// NewSigV4 checks the options.
func NewSigV4(o SigV4Options) (*SigV4, error) {
	switch {
	case o.AccessKey == "" || strings.ContainsFunc(o.AccessKey, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == '/' || r == ','
	}):
		return nil, errors.New("the access key is empty or has a character that no access key has")
	case o.SecretKey.IsZero():
		return nil, errors.New("there is no secret key")
	case strings.ContainsAny(o.Region+o.Service, "/ ,\r\n"):
		return nil, fmt.Errorf("the region %q or the service %q has a character that none has", o.Region, o.Service)
	}
	for _, c := range o.SessionToken.Reveal() {
		if c <= ' ' || c >= 0x7f {
			return nil, errors.New("the session token has a character that cannot stand in a header")
		}
	}
	return &SigV4{o: o}, nil
}

// Secrets implements Signer.
func (s *SigV4) Secrets() [][]byte {
	all := reveal([]secret.Value{s.o.SecretKey, s.o.SessionToken})
	if s.o.HideAccessKey {
		all = append(all, []byte(s.o.AccessKey))
	}
	return all
}

// v4 is one signature in the making.
type v4 struct {
	service, region string
	date            string // 20150830T123600Z
	payload         string
	names           string // of the signed headers
}

// Sign implements Signer.
func (s *SigV4) Sign(ctx context.Context, r *Request) error {
	if presigned(r.RawQuery) {
		return nil
	}
	v := v4{service: s.o.Service, region: s.o.Region, date: r.Now.UTC().Format("20060102T150405Z")}
	if v.service == "" || v.region == "" {
		service, region, ok := AWSScope(r.Host)
		if !ok && (v.service == "" && service == "" || v.region == "" && region == "") {
			return fault.WithHint(fmt.Errorf("signing for host %q: it does not tell the AWS service and region",
				r.Host), "set `service` and `region` of the credential")
		}
		v.service, v.region = first(v.service, service), first(v.region, region)
	}
	var err error
	if v.payload, err = s.payload(ctx, r, v.service); err != nil {
		return err
	}
	set := s.headers(r, &v)
	canonical, err := v.canonical(r, set)
	if err != nil {
		return err
	}
	authorization := s.authorization(&v, canonical)

	for name, value := range set {
		r.Header[name] = []string{value}
	}
	if s.o.SessionToken.IsZero() {
		delete(r.Header, headerAmzToken) // a caller's token belongs to a key of the caller's
	}
	r.Header["Authorization"] = []string{authorization}
	// A plus is a space to some readers and itself to others; this is what was signed.
	r.RawQuery = strings.ReplaceAll(r.RawQuery, "+", "%20")
	return nil
}

// presigned tells whether the query carries a signature.
func presigned(rawQuery string) bool {
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, ok := unescape(name, true); ok && strings.EqualFold(name, "X-Amz-Signature") {
			return true
		}
	}
	return false
}

// isS3 tells whether the service has S3's rules: the path is encoded once and not normalised, and the payload's hash is
// sent.
func isS3(service string) bool {
	switch service {
	case "s3", "s3-outposts", "s3-object-lambda", "s3express":
		return true
	}
	return false
}

// payload is the hash of the body, or what stands in its place.
func (s *SigV4) payload(ctx context.Context, r *Request, service string) (string, error) {
	if declared := r.Header[headerAmzHash]; len(declared) == 1 {
		switch d := declared[0]; {
		case d == unsignedTrailer, d == unsignedPayload && r.Scheme == "https", isSHA256(d):
			return d, nil
		case strings.HasPrefix(d, "STREAMING-"):
			return "", malformed("the body is announced as " + visible(d) +
				": its chunks would have to be signed with the key that only Sallyport has").
				WithHint("let the client send the body plain, or as " + unsignedTrailer + " or " + unsignedPayload)
		}
	}
	if r.Body == nil {
		return emptySHA256, nil
	}
	sha, err := sum(ctx, r.Body, sha256.New())
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Code == fault.BodyTooLarge && s.o.UnsignedLarge &&
		isS3(service) && r.Scheme == "https" {
		return unsignedPayload, nil
	}
	return hex.EncodeToString(sha), err
}

func isSHA256(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

// visible keeps what a header may hold out of a message, but for its beginning.
func visible(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 48)]
}

// headers are the ones that a signature adds.
func (s *SigV4) headers(r *Request, v *v4) map[string]string {
	set := map[string]string{headerAmzDate: v.date}
	if !s.o.SessionToken.IsZero() {
		set[headerAmzToken] = string(s.o.SessionToken.Reveal())
	}
	if _, declared := r.Header[headerAmzHash]; declared || isS3(v.service) {
		set[headerAmzHash] = v.payload
	}
	return set
}

// neverSigned are headers that something on the way to the service may still add, change or take out.
func neverSigned(name string) bool {
	switch name {
	case "authorization", "user-agent", "x-amzn-trace-id", "expect", "host", "content-length", "accept-encoding",
		"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
		"proxy-connection", "proxy-authorization", "proxy-authenticate":
		return true
	}
	return false
}

// field is a header by its name in lower case.
type field struct {
	name   string
	values []string
}

// canonical is the canonical request; it also fills v.names.
func (v *v4) canonical(r *Request, set map[string]string) ([]byte, error) {
	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b, ok := v.appendPath(b, r.Path)
	if !ok {
		return nil, malformed("the path has a broken percent-encoding")
	}
	b = append(b, '\n')
	query, ok := params(nil).add(r.RawQuery)
	if !ok {
		return nil, malformed("the query has a broken percent-encoding")
	}
	query.sort()
	b = query.append(b)
	b = append(b, '\n')
	b = v.appendFields(b, fields(r, set))
	b = append(b, '\n')
	b = append(b, v.names...)
	b = append(b, '\n')
	return append(b, v.payload...), nil
}

// fields are the headers to sign, in order.
func fields(r *Request, set map[string]string) []field {
	all := make([]field, 0, len(r.Header)+len(set)+1)
	all = append(all, field{"host", []string{r.Host}})
	for name, value := range set {
		all = append(all, field{strings.ToLower(name), []string{value}})
	}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if _, ours := set[name]; ours || neverSigned(lower) || len(values) == 0 || name == headerAmzToken {
			continue
		}
		all = append(all, field{lower, values})
	}
	slices.SortFunc(all, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return all
}

func (v *v4) appendFields(b []byte, all []field) []byte {
	names := make([]byte, 0, 128)
	for i, f := range all {
		if i > 0 {
			names = append(names, ';')
		}
		names = append(names, f.name...)
		b = append(b, f.name...)
		b = append(b, ':')
		for i, value := range f.values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTrimmed(b, value)
		}
		b = append(b, '\n')
	}
	v.names = string(names)
	return b
}

// appendTrimmed appends a header's value without blanks around it, and with one in place of several.
func appendTrimmed(b []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if value[i] != ' ' || value[i-1] != ' ' {
			b = append(b, value[i])
		}
	}
	return b
}

// appendPath appends the canonical URI: for S3 the path encoded once, for all others what is on the wire without empty
// and dot segments, encoded once more.
func (v *v4) appendPath(b []byte, path string) ([]byte, bool) {
	if path == "" {
		path = "/"
	}
	if isS3(v.service) {
		decoded, ok := unescape(path, false)
		return appendEscaped(b, decoded, "/"), ok
	}
	return appendEscaped(b, normalised(path), "/"), true
}

// normalised is RFC 3986 section 5.2.4, and one slash for several.
func normalised(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	clean := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && strings.HasSuffix(path, "/") {
		clean += "/"
	}
	return clean
}

// authorization is the header's value.
func (s *SigV4) authorization(v *v4, canonical []byte) string {
	scope := v.date[:8] + "/" + v.region + "/" + v.service + "/aws4_request"
	hashed := sha256.Sum256(canonical)
	toSign := sigAlgorithm + "\n" + v.date + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])
	signature := hex.EncodeToString(hmacSHA256(s.signingKey(v, scope), toSign))
	return sigAlgorithm + " Credential=" + s.o.AccessKey + "/" + scope + ", SignedHeaders=" + v.names +
		", Signature=" + signature
}

// signingKey derives the key of the day, and keeps it.
func (s *SigV4) signingKey(v *v4, scope string) []byte {
	if kept := s.key.Load(); kept != nil && kept.scope == scope {
		return kept.key
	}
	key := hmacSHA256(append([]byte("AWS4"), s.o.SecretKey.Reveal()...), v.date[:8])
	for _, part := range []string{v.region, v.service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	s.key.Store(&scopedKey{scope, key})
	return key
}

func hmacSHA256(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(message))
	return h.Sum(nil)
}

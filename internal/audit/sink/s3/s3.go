package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sallyport/internal/audit/sink"
	"sallyport/internal/fault"
)

// bucket implements sink.Sink. A batch is one object, named by the numbers in it.
type bucket struct {
	settings Settings
	host     sink.Host
	client   *sink.Client
	base     string // URL, without the bucket
	keys     aws.CredentialsProvider
}

// Ship implements sink.Sink.
func (b *bucket) Ship(ctx context.Context, batch []sink.Item) error {
	if len(batch) == 0 {
		return nil
	}
	keys, err := b.keys.Retrieve(ctx)
	if err != nil {
		return fault.WithHint(fmt.Errorf("looking for the credentials of bucket %q: %w", b.settings.Bucket, err),
			"write access_key and secret_key, or give this machine a role")
	}
	var body bytes.Buffer
	for i := range batch {
		body.Write(batch[i].Text)
		body.WriteByte('\n')
	}
	until := b.until()
	name := b.name(batch)
	if err := b.put(ctx, keys, name, body.Bytes(), until); err != nil {
		return err
	}
	if b.settings.Lock == nil || !b.settings.Lock.Check {
		return nil
	}
	return b.locked(ctx, keys, name, until)
}

// name is PREFIX LOG/records-000000000001-000000000500.jsonl, so that names sort as the log does.
func (b *bucket) name(batch []sink.Item) string {
	what := "records"
	if batch[0].Event.Kind == "" {
		what = "checkpoints"
	}
	log := strings.Map(func(c rune) rune {
		if !plain(c) || c == '/' {
			return '_'
		}
		return c
	}, batch[0].Log)
	return fmt.Sprintf("%s%s/%s-%012d-%012d.jsonl", b.settings.Prefix, log, what, batch[0].Seq,
		batch[len(batch)-1].Seq)
}

// until is when a lock that is made now ends, in whole seconds. Zero: there is none.
func (b *bucket) until() time.Time {
	if b.settings.Lock == nil {
		return time.Time{}
	}
	return b.now().Add(b.settings.Lock.For).UTC().Truncate(time.Second)
}

func (b *bucket) now() time.Time {
	if b.host.Now == nil {
		return time.Now()
	}
	return b.host.Now()
}

// Headers of S3.
const (
	headerMode     = "X-Amz-Object-Lock-Mode"
	headerUntil    = "X-Amz-Object-Lock-Retain-Until-Date"
	headerChecksum = "X-Amz-Checksum-Sha256"
)

func (b *bucket) put(ctx context.Context, keys aws.Credentials, name string, body []byte, until time.Time) error {
	req, err := b.request(ctx, http.MethodPut, name, body)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	checksum := base64.StdEncoding.EncodeToString(sum[:]) // which S3 compares; with a lock one has to be there
	req.Header.Set(headerChecksum, checksum)
	req.Header.Set("Content-Type", "application/x-ndjson")
	if !until.IsZero() {
		req.Header.Set(headerMode, strings.ToUpper(b.settings.Lock.Mode))
		req.Header.Set(headerUntil, until.Format(time.RFC3339))
	}
	resp, err := b.send(ctx, keys, req, hex.EncodeToString(sum[:]))
	switch told := resp.Header.Get(headerChecksum); {
	case err != nil:
		return err
	case resp.Header.Get("Etag") == "":
		return fault.WithHint(fmt.Errorf("writing to bucket %q: the response is none of S3", b.settings.Bucket),
			"look at endpoint: something else answers there")
	case told != "" && told != checksum:
		return fmt.Errorf("writing to bucket %q: something else arrived than was sent", b.settings.Bucket)
	}
	return nil
}

// locked asks whether an object has the lock that it was written with.
func (b *bucket) locked(ctx context.Context, keys aws.Credentials, name string, until time.Time) error {
	req, err := b.request(ctx, http.MethodHead, name, nil)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(nil)
	resp, err := b.send(ctx, keys, req, hex.EncodeToString(sum[:]))
	if err != nil {
		return fault.WithHint(fmt.Errorf("asking whether an object is locked: %w", err),
			"allow s3:GetObject and s3:GetObjectRetention, or write lock: {check: false}")
	}
	has, failed := time.Parse(time.RFC3339, resp.Header.Get(headerUntil))
	if !strings.EqualFold(resp.Header.Get(headerMode), b.settings.Lock.Mode) || failed != nil || has.Before(until) {
		return fault.WithHint(fmt.Errorf("bucket %q has taken an object, and has not locked it", b.settings.Bucket),
			"the store has no object lock, or the identity may not see it (s3:GetObjectRetention); without lock in "+
				"the configuration nothing is asked for")
	}
	return nil
}

func (b *bucket) request(ctx context.Context, method, name string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.base+"/"+b.settings.Bucket+"/"+name, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("writing to a bucket: the address is malformed")
	}
	req.Header.Set("User-Agent", "Sallyport/"+b.host.Version)
	return req, nil
}

func (b *bucket) send(
	ctx context.Context, keys aws.Credentials, req *http.Request, hash string,
) (sink.Response, error) {
	req.Header.Set("X-Amz-Content-Sha256", hash)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // as S3 has it
	if err := signer.SignHTTP(ctx, keys, req, hash, "s3", b.settings.Region, b.now()); err != nil {
		return sink.Response{}, fmt.Errorf("signing a request: %w", err)
	}
	resp, err := b.client.Do(ctx, req)
	if err == nil {
		return resp, nil
	}
	var said struct {
		Code string `xml:"Code"`
	}
	if xml.Unmarshal(resp.Body, &said) != nil || said.Code == "" || strings.ContainsFunc(said.Code, notInCode) {
		return resp, err
	}
	hint := fault.HintOf(err)
	switch said.Code {
	case "InvalidRequest":
		hint = "the bucket has no object lock, which is enabled when it is made; or take lock out"
	case "NoSuchBucket":
		hint = "make the bucket first, with object lock"
	case "RequestTimeTooSkewed":
		hint = "set this machine's clock"
	case "SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied":
		hint = "look at the keys; they need s3:PutObject, and with lock s3:PutObjectRetention, s3:GetObject and " +
			"s3:GetObjectRetention on the bucket's objects"
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		hint = "the bucket is in another region: set region"
	}
	return resp, fault.WithHint(fmt.Errorf("%w (%s)", err, said.Code), hint)
}

func notInCode(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') }

// Close implements sink.Sink.
func (b *bucket) Close() error {
	b.client.CloseIdle()
	return nil
}

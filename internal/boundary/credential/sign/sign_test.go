package sign_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"sallyport/internal/boundary/credential/sign"
	"sallyport/internal/boundary/spool"
	"sallyport/internal/fault"
)

const canary = "canary-s3cret+value"

// signers is one of each kind that covers the body, with the canary as its secret.
func signers(t *testing.T) map[string]sign.Signer {
	t.Helper()
	aws, err := sign.NewSigV4(sign.SigV4Options{
		AccessKey: accessKey, SecretKey: value(canary),
		SessionToken: value("tok-" + canary), UnsignedLarge: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	oauth, err := sign.NewOAuth1(sign.OAuth1Options{
		ConsumerKey: "k", ConsumerSecret: value(canary), Token: value("t"),
		TokenSecret: value("ts-" + canary), Nonce: func() string {
			return "n"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	digest, _ := newDigest(t, "u", canary,
		"c").Challenge(http.Header{
		"Www-Authenticate": {`Digest realm="r", nonce="n", qop="auth-int", algorithm=SHA-256`},
	})
	return map[string]sign.Signer{
		"aws_sigv4": aws, "oauth1": oauth, "digest": digest,
		"hmac": newHMAC(t, sign.HMACOptions{Secret: value(canary), Message: "{timestamp}{nonce}{body}", Header: "S", Format: "{nonce} {signature}"}),
	}
}

func form1(body sign.Body) *sign.Request {
	r := post("")
	r.Host, r.Body = "b.s3.eu-west-1.amazonaws.com", body
	r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	return r
}

// TestOverASpooledBody signs what a caller sends; what was signed is still there to be sent, whole.
func TestOverASpooledBody(t *testing.T) {
	for name, s := range signers(t) {
		t.Run(name, func(t *testing.T) {
			want := "a=" + strings.Repeat("x", 5000)
			body := spool.New(io.NopCloser(iotest.HalfReader(strings.NewReader(want))),
				spool.Options{Memory: 1000, Dir: t.TempDir()})
			defer func() { _ = body.Close() }()
			first, err := body.Rewind() // the transport asks for it before or after: the same
			if err != nil {
				t.Fatal(err)
			}
			r, again := form1(body), form1(whole(want))
			if err := s.Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(first); err != nil || string(got) != want {
				t.Errorf("sent %d bytes, %v", len(got), err)
			}
			if err := s.Sign(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if name != "digest" && describe(r) != describe(again) { // digest counts
				t.Errorf("signed %s and %s", describe(r), describe(again))
			}
		})
	}
}

// TestTruncatedBodyIsNotSigned: the caller goes away in the middle.
func TestTruncatedBodyIsNotSigned(t *testing.T) {
	for name, s := range signers(t) {
		body := spool.New(io.NopCloser(strings.NewReader("a=half")), spool.Options{Length: 100})
		r := form1(body)
		before := describe(r)
		err := s.Sign(t.Context(), r)
		if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != fault.RequestMalformed || describe(r) != before {
			t.Errorf("%s: got %v, %s", name, err, describe(r))
		}
	}
}

// TestLargeUploadIsSentUnsigned: it is too large to be kept, so S3 gets it as it comes.
func TestLargeUploadIsSentUnsigned(t *testing.T) {
	want := strings.Repeat("0123456789", 5000)
	for _, declared := range []int64{-1, int64(len(want))} {
		body := spool.New(io.NopCloser(strings.NewReader(want)),
			spool.Options{Memory: 100, Total: 1000, Dir: t.TempDir(), Length: declared})
		r := form1(body)
		if err := signers(t)["aws_sigv4"].Sign(t.Context(), r); err != nil ||
			r.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" {
			t.Errorf("got %v, %v", err, r.Header)
		}
		sent, err := body.Rewind()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(sent); err != nil || string(got) != want {
			t.Errorf("sent %d bytes, %v", len(got), err)
		}
		_ = body.Close()
	}
}

func TestSignersNeverPrint(t *testing.T) {
	for name, s := range signers(t) {
		_ = s.Sign(t.Context(), form1(whole("a=b"))) // keys that are derived are there too
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb, s)
		}
		for _, form := range []string{
			canary, hex.EncodeToString([]byte(canary)),
			base64.StdEncoding.EncodeToString([]byte(canary)), "99 97 110 97 114",
		} {
			if strings.Contains(log.String(), form) {
				t.Errorf("%s prints: %s", name, log.String())
			}
		}
	}
}

func TestSignersAreConcurrent(t *testing.T) {
	for _, s := range signers(t) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if err := s.Sign(context.WithoutCancel(t.Context()), form1(whole("a=b"))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

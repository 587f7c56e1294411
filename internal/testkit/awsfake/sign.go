package awsfake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

//nolint:gochecknoglobals // compiled once
var authorization = regexp.MustCompile(
	`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$`)

// authenticate checks the signature as the service does: by making it again.
func (s *Server) authenticate(r *http.Request, service string, body []byte) *failure {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return bad("MissingAuthenticationTokenException", "Request is missing Authentication Token")
	}
	keys, ok := s.keysOf(m[1])
	switch {
	case !ok, keys.SessionToken != r.Header.Get("X-Amz-Security-Token"):
		return bad("UnrecognizedClientException", "The security token included in the request is invalid.")
	case keys.CanExpire && time.Now().After(keys.Expires):
		return bad("ExpiredTokenException", "The security token included in the request is expired")
	case m[3] != Region || m[4] != service:
		return bad("InvalidSignatureException", "Credential should be scoped to a valid region.")
	}
	if again, err := sign(r, keys, service, strings.Split(m[5], ";"), body); err != nil ||
		again != r.Header.Get("Authorization") {
		return bad("InvalidSignatureException",
			"The request signature we calculated does not match the signature you provided.")
	}
	return nil
}

func (s *Server) keysOf(id string) (aws.Credentials, bool) {
	if keys := s.credentials(); keys.AccessKeyID == id {
		return keys, true
	}
	for _, role := range s.Roles {
		if role.Keys.AccessKeyID == id {
			return role.Keys, true
		}
	}
	return aws.Credentials{}, false
}

// SetKeys changes what the fake takes, as when keys are rotated.
func (s *Server) SetKeys(keys aws.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Keys = keys
}

func sign(r *http.Request, keys aws.Credentials, service string, headers []string, body []byte) (string, error) {
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	//nolint:gosec // never sent, only signed
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.RequestURI(),
		bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	again.ContentLength = 0
	for _, name := range headers {
		switch name {
		case "host", "x-amz-date", "x-amz-security-token":
		case "content-length":
			again.ContentLength = int64(len(body))
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), keys, again, hex.EncodeToString(sum[:]), service,
		Region, at); err != nil {
		return "", err
	}
	return again.Header.Get("Authorization"), nil
}

// serveSTS answers AssumeRole in the query protocol, API version 2011-06-15.
func (s *Server) serveSTS(w http.ResponseWriter, r *http.Request, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.record(Call{Action: form.Get("Action"), Form: form, Header: r.Header.Clone()})
	if s.Answer != nil && s.Answer(w, r, form.Get("Action")) {
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	role, ok := s.Roles[form.Get("RoleArn")]
	failed := s.authenticate(r, "sts", body)
	if failed == nil && (!ok || role.ExternalID != form.Get("ExternalId")) {
		failed = &failure{
			status: http.StatusForbidden, code: "AccessDenied",
			message: "User is not authorized to perform: sts:AssumeRole on resource: " + form.Get("RoleArn"),
		}
	}
	if failed != nil {
		w.WriteHeader(failed.status)
		_, _ = fmt.Fprintf(w,
			`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>00000000</RequestId></ErrorResponse>`, failed.code, failed.message)
		return
	}
	_, _ = fmt.Fprintf(w,
		`<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><AssumedRoleUser><AssumedRoleId>AROATEST:%[1]s</AssumedRoleId><Arn>arn:aws:sts::%[2]s:assumed-role/x/%[1]s</Arn></AssumedRoleUser><Credentials><AccessKeyId>%[3]s</AccessKeyId><SecretAccessKey>%[4]s</SecretAccessKey><SessionToken>%[5]s</SessionToken><Expiration>%[6]s</Expiration></Credentials></AssumeRoleResult><ResponseMetadata><RequestId>00000000</RequestId></ResponseMetadata></AssumeRoleResponse>`,
		form.Get("RoleSessionName"), account, role.Keys.AccessKeyID, role.Keys.SecretAccessKey, role.Keys.SessionToken,
		time.Now().Add(15*time.Minute).UTC().Format(time.RFC3339))
}

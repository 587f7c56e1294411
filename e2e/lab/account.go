package lab

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// MFA is the owner's second factor, as n8n showed it.
type MFA struct {
	Secret        string   `json:"secret"`
	RecoveryCodes []string `json:"recoveryCodes"`
}

// EnableMFA gives the owner a second factor. Who is signed in stays so, and nobody else can sign in without a code.
func (n *N8N) EnableMFA(ctx context.Context) (m MFA, err error) {
	if err := n.REST(ctx, http.MethodGet, "/rest/mfa/qr", nil, &m); err != nil {
		return m, err
	}
	code, err := TOTP(m.Secret, time.Now())
	if err != nil {
		return m, err
	}
	return m, n.REST(ctx, http.MethodPost, "/rest/mfa/enable", map[string]string{"mfaCode": code}, nil)
}

// SignIn signs the owner in with the code of this moment.
func (n *N8N) SignIn(ctx context.Context, m MFA) error {
	code, err := TOTP(m.Secret, time.Now())
	if err != nil {
		return err
	}
	return n.signIn(ctx, "mfaCode", code)
}

// Recover signs the owner in with a recovery code, which n8n takes once.
func (n *N8N) Recover(ctx context.Context, code string) error {
	return n.signIn(ctx, "mfaRecoveryCode", code)
}

func (n *N8N) signIn(ctx context.Context, factor, code string) error {
	return n.REST(ctx, http.MethodPost, "/rest/login", map[string]string{
		"emailOrLdapLoginId": OwnerEmail, "password": OwnerPassword, factor: code,
	}, nil)
}

// Status is what n8n answers to a GET: 401 when it does not take the API key, or, for the key "", who is signed in.
func (n *N8N) Status(ctx context.Context, path, apiKey string) (int, error) {
	r := request{http.MethodGet, path, "browser-id", browser, nil}
	if apiKey != "" {
		r.header, r.value = "X-N8N-API-KEY", apiKey
	}
	err := n.call(ctx, r, nil)
	var status *StatusError
	switch {
	case errors.As(err, &status):
		return status.Status, nil
	case err != nil:
		return 0, err
	}
	return http.StatusOK, nil
}

// TOTP is the code of RFC 6238 for the time: six digits, steps of 30 seconds, SHA-1.
func TOTP(secret string, at time.Time) (string, error) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		return "", fmt.Errorf("reading the TOTP secret: %w", err)
	}
	mac := hmac.New(sha1.New, key)
	binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000), nil
}

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// browser binds the session cookie to one "browser"; any constant does.
const browser = "sallyport-e2e"

// Who the owner is.
const (
	OwnerEmail    = "owner@example.com"
	OwnerPassword = "Correct-horse-9"
)

// setUp waits for n8n to serve, makes the owner, and takes an API key with every scope.
func (n *N8N) setUp(ctx context.Context) error {
	if err := n.waitReady(ctx); err != nil {
		return err
	}
	owner := map[string]string{"email": OwnerEmail, "firstName": "Ow", "lastName": "Ner", "password": OwnerPassword}
	if err := n.rest(ctx, http.MethodPost, "/rest/owner/setup", owner, nil); err != nil {
		return fmt.Errorf("making the owner: %w", err)
	}
	return n.TakeAPIKey(ctx, "lab")
}

// TakeAPIKey makes a key with every scope, for looking at executions, in place of the one before. Labels are taken
// once.
func (n *N8N) TakeAPIKey(ctx context.Context, label string) (err error) {
	var scopes []string
	if err := n.rest(ctx, http.MethodGet, "/rest/api-keys/scopes", nil, &scopes); err != nil {
		return fmt.Errorf("listing API key scopes: %w", err)
	}
	n.apiKey, err = n.NewAPIKey(ctx, label, scopes...)
	return err
}

// waitReady polls /rest/settings: the health endpoints answer before the REST API does.
func (n *N8N) waitReady(ctx context.Context) error {
	return n.Await(ctx, readyWithin, func() bool {
		return n.rest(ctx, http.MethodGet, "/rest/settings", nil, nil) == nil
	})
}

// NewAPIKey makes a key for the public API with the given scopes. n8n 1.x makes the same key twice within a second of
// its clock, and then takes the second for a label that is there: each key gets a second of its own.
func (n *N8N) NewAPIKey(ctx context.Context, label string, scopes ...string) (string, error) {
	timer := time.NewTimer(time.Until(n.keyMade.Truncate(time.Second).Add(time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-timer.C:
	}
	var made struct {
		RawAPIKey string `json:"rawApiKey"`
	}
	body := map[string]any{"label": label, "expiresAt": nil, "scopes": scopes}
	if err := n.rest(ctx, http.MethodPost, "/rest/api-keys", body, &made); err != nil {
		return "", fmt.Errorf("making API key %q: %w", label, err)
	}
	n.keyMade = time.Now().Round(0) // the wall clock's seconds, which n8n's are
	return made.RawAPIKey, nil
}

// NewCredential makes a credential of n8n's type kind as a person would in the editor.
func (n *N8N) NewCredential(ctx context.Context, name, kind string, data map[string]any) (Credential, error) {
	made := Credential{Name: name, kind: kind}
	body := map[string]any{"name": name, "type": kind, "data": data}
	if err := n.rest(ctx, http.MethodPost, "/rest/credentials", body, &made); err != nil {
		return Credential{}, fmt.Errorf("making credential %q: %w", name, err)
	}
	return made, nil
}

// CredentialData returns what n8n's editor shows of a credential's fields (secrets blanked).
func (n *N8N) CredentialData(ctx context.Context, id string) (map[string]any, error) {
	var got struct {
		Data map[string]any `json:"data"`
	}
	if err := n.rest(ctx, http.MethodGet, "/rest/credentials/"+url.PathEscape(id)+"?includeData=true", nil,
		&got); err != nil {
		return nil, fmt.Errorf("reading credential %q: %w", id, err)
	}
	return got.Data, nil
}

// A StatusError is an answer of n8n that is not 2xx.
type StatusError struct {
	Status int
	Body   []byte
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("n8n answered %d: %s", e.Status, tail(e.Body, 1000))
}

// rest calls n8n's internal API as the signed-in owner. The answer's "data" is decoded into out unless that is nil.
func (n *N8N) rest(ctx context.Context, method, path string, in, out any) error {
	var wrapped struct {
		Data json.RawMessage `json:"data"`
	}
	if err := n.call(ctx, request{method, path, "browser-id", browser, in}, &wrapped); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(wrapped.Data, out)
}

// public calls n8n's public API with the key that has every scope.
func (n *N8N) public(ctx context.Context, method, path string, in, out any) error {
	return n.call(ctx, request{method, "/api/v1" + path, "X-N8N-API-KEY", n.apiKey, in}, out)
}

type request struct {
	method, path  string
	header, value string
	body          any
}

func (n *N8N) call(ctx context.Context, r request, out any) error {
	var body io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, n.URL+r.path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(r.header, r.value)
	resp, err := n.session.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return &StatusError{resp.StatusCode, answer}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

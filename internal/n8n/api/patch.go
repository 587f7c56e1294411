package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// headerAuth is n8n's type name of a Header Auth credential.
const headerAuth = "httpHeaderAuth"

// maxAnswer bounds what is read of any answer of n8n: a list of 250 credentials stays far below it.
const maxAnswer = 4 << 20

// patch is the body of PATCH /api/v1/credentials/{id} (openapi.yml of n8n 2.41.1, updateCredential). With IsPartialData
// n8n merges Data into what it holds. The type is left out on purpose: sent, it would turn a credential of another type
// into this one.
type patch struct {
	IsPartialData bool      `json:"isPartialData"`
	Data          patchData `json:"data"`
}

// patchData is the part of a Header Auth credential's data that is written. n8n refuses fields it does not know.
type patchData struct {
	Value   string `json:"value"`
	Mode    string `json:"allowedHttpRequestDomains,omitempty"` // all | domains | none
	Domains string `json:"allowedDomains,omitempty"`            // comma-separated host names, compared without port
}

func newPatch(value secret.Value, lockTo string) patch {
	p := patch{IsPartialData: true, Data: patchData{Value: string(value.Reveal())}}
	if lockTo != "" {
		p.Data.Mode, p.Data.Domains = "domains", lockTo
	}
	return p
}

// summary is what n8n tells of a credential: never its data, the lock included.
type summary struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

// patchByIDOrName takes what looks like an id for one, and looks up everything else, which needs a second scope.
func (c *Client) patchByIDOrName(ctx context.Context, value secret.Value, lockTo string) (Result, error) {
	if identifier.MatchString(c.credential) {
		result, err := c.patchID(ctx, c.credential, value, lockTo)
		if !isStatus(err, http.StatusNotFound) {
			return result, err
		}
		id, lookupErr := c.lookUp(ctx)
		if lookupErr != nil {
			return Result{}, err // as an id it was not found, and as a name neither
		}
		return c.patchID(ctx, id, value, lockTo)
	}
	id, err := c.lookUp(ctx)
	if err != nil {
		return Result{}, notSentError{err}
	}
	return c.patchID(ctx, id, value, lockTo)
}

func (c *Client) patchID(ctx context.Context, id string, value secret.Value, lockTo string) (Result, error) {
	result := Result{CredentialID: id, Locked: Unknown, Method: MethodAPI}
	if lockTo != "" {
		result.Locked = Locked
	}
	var got summary
	err := c.call(ctx, http.MethodPatch, "credentials/"+url.PathEscape(id), newPatch(value, lockTo), &got)
	if lockTo != "" && isUnknownField(err) {
		// An n8n that cannot lock is still to get its new value: the old one is about to die.
		result.Locked = Unlocked
		err = c.call(ctx, http.MethodPatch, "credentials/"+url.PathEscape(id), newPatch(value, ""), &got)
	}
	if err != nil {
		return Result{}, err
	}
	if got.Type != headerAuth {
		return Result{},
			fault.WithHint(fmt.Errorf("n8n wrote the value into a credential of type %q, which is not Header Auth",
				got.Type),
				"point `credential` at the Header Auth credential, and give the other one its own value back")
	}
	return result, nil
}

// lookUp finds the id of the one credential with the configured name.
func (c *Client) lookUp(ctx context.Context) (string, error) {
	var found []string
	for cursor, page := "", 0; page < 100; page++ {
		var list struct {
			Data       []summary `json:"data"`
			NextCursor *string   `json:"nextCursor"`
		}
		query := url.Values{"limit": {"250"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		if err := c.call(ctx, http.MethodGet, "credentials?"+query.Encode(), nil, &list); err != nil {
			return "", lookUpHint(err)
		}
		for _, credential := range list.Data {
			if credential.Name == c.credential && credential.Type == headerAuth {
				found = append(found, credential.ID)
			}
		}
		if list.NextCursor == nil || *list.NextCursor == "" {
			break
		}
		cursor = *list.NextCursor
	}
	return one(found)
}

func one(found []string) (string, error) {
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.WithHint(errors.New("n8n shows this API key no Header Auth credential of that name"),
			"use the id, which is in the address of the opened credential; the key's owner must own the credential")
	default:
		return "", fault.WithHint(fmt.Errorf("n8n has %d Header Auth credentials of that name", len(found)),
			"use the id, which is in the address of the opened credential")
	}
}

func lookUpHint(err error) error {
	if isStatus(err, http.StatusForbidden) {
		return fault.WithHint(fmt.Errorf("looking up the name: %w", err),
			"set `credential` to the id (in the address of the opened credential in n8n): then credential:update is "+
				"enough; looking up a name needs credential:list as well")
	}
	return fmt.Errorf("looking up the name: %w", err)
}

// call makes one request to the public API and decodes a 2xx answer into out.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	ref, err := url.Parse(path)
	if err != nil {
		return fmt.Errorf("building the request's path: %w", err)
	}
	target := c.base.JoinPath("api", "v1", ref.EscapedPath())
	target.RawQuery = ref.RawQuery
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return fmt.Errorf("building the request: %w", err)
	}
	req.Header.Set("X-N8N-API-KEY", string(c.key.Reveal()))
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.do(req, out)
}

func (c *Client) do(req *http.Request, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		failed := fault.WithHint(fmt.Errorf("calling n8n: %w", err),
			"check `url`, and that n8n is running and reachable from here")
		if neverConnected(err) {
			return notSentError{failed}
		}
		return failed
	}
	defer resp.Body.Close() //nolint:errcheck // read to its bound; nothing is left to learn from closing it
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading n8n's response: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return newStatusError(resp.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fault.WithHint(errors.New("n8n's response is not JSON"),
			"check `url`: something else may answer there, a sign-in page for one")
	}
	return nil
}

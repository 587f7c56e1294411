package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"sallyport/internal/fault"
)

// Executions tells how many executions n8n has under way. It is safe for concurrent use.
type Executions struct{ client *Client }

// NewExecutions checks the configuration, of which Credential and CLI are not looked at. It calls nobody. An API key
// sees the executions that its owner sees: all of them where that is n8n's owner or an administrator.
func NewExecutions(c Config) (*Executions, error) {
	c.Credential, c.CLI = "none", nil
	client, err := New(c)
	if err != nil {
		return nil, fault.WithHint(err,
			"in n8n: Settings, API, a key of n8n's owner with the single scope execution:list")
	}
	return &Executions{client}, nil
}

// Running is how many executions run, up to 250: who waits for none needs no more. Those that wait for a time or for a
// call are not counted, since they outlast a restart.
func (e *Executions) Running(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var list struct {
		Data *[]json.RawMessage `json:"data"`
	}
	err := e.client.call(ctx, http.MethodGet, "executions?status=running&limit=250", nil, &list)
	if err == nil && list.Data == nil {
		err = fault.WithHint(errors.New("n8n's response is no list of executions"),
			"check `url`: something else may answer there, a sign-in page for one")
	}
	if err != nil {
		return 0, fmt.Errorf("asking n8n for running executions: %w", hinted(err))
	}
	return len(*list.Data), nil
}

// hinted replaces the hints that speak of credentials.
func hinted(err error) error {
	switch {
	case isStatus(err, http.StatusUnauthorized), isStatus(err, http.StatusForbidden):
		return fault.WithHint(err, "make an API key of n8n's owner with the single scope execution:list")
	case isStatus(err, http.StatusNotFound):
		return fault.WithHint(err,
			"n8n's public API is switched off (N8N_PUBLIC_API_DISABLED), or `url` leads elsewhere")
	case isStatus(err, http.StatusBadRequest):
		return fault.WithHint(err, "this n8n's API does not tell running executions: update n8n, or leave `drain` out")
	}
	return err
}

package consent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"sallyport/internal/fault"
)

// begun is what the gate tells the command.
type begun struct {
	URL         string `json:"url"`
	State       string `json:"state"`
	RedirectURL string `json:"redirect_url"`
}

// outcome is what came of a consent.
type outcome struct {
	Pending   bool       `json:"pending,omitempty"`
	Connected *Connected `json:"connected,omitempty"`
	Error     string     `json:"error,omitempty"`
	Hint      string     `json:"hint,omitempty"`
}

// connectByGate has the running gate wait for the browser.
func (k *Connector) connectByGate(ctx context.Context, name, redirect string) (*Consent, error) {
	ask, err := json.Marshal(map[string]string{"name": name, "redirect_url": redirect})
	if err != nil {
		return nil, fmt.Errorf("connecting %q: %w", name, err)
	}
	answer, err := k.Call(ctx, http.MethodPost, "/connect", ask)
	if errors.Is(err, ErrNoGate) {
		return nil, fault.WithHint(fmt.Errorf("connecting %q: %w", name, err),
			"start it: its admin listener takes the browser back; or leave out --callback and --redirect-url")
	}
	if err != nil {
		return nil, err
	}
	var b begun
	if err := json.Unmarshal(answer, &b); err != nil {
		return nil, fmt.Errorf("reading the running gate's answer: %w", err)
	}
	return &Consent{
		URL: b.URL, RedirectURL: b.RedirectURL, end: func() error { return nil },
		await: func(ctx context.Context) (*Connected, error) { return k.awaitGate(ctx, b.State) },
	}, nil
}

func (k *Connector) awaitGate(ctx context.Context, state string) (*Connected, error) {
	for {
		answer, err := k.Call(ctx, http.MethodGet, "/connect/"+state, nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var o outcome
		if err := errors.Join(err, json.Unmarshal(orNull(answer), &o)); err != nil {
			return nil, err
		}
		switch {
		case o.Pending:
		case o.Connected != nil:
			return o.Connected, nil
		default:
			return nil, fault.WithHint(errors.New(o.Error), o.Hint)
		}
	}
}

func orNull(b []byte) []byte {
	if len(b) == 0 {
		return []byte("null")
	}
	return b
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/fault"
)

// Probe is the Health of n8n's own word: GET /healthz and then /healthz/readiness, which says that the database and
// Redis are there and migrated. A worker answers them where QUEUE_HEALTH_CHECK_ACTIVE is set (n8n 2.41,
// dist/scaling/worker-server.js).
type Probe struct {
	// URLs are where units answer, by their names: http://n8n-main:5678. One with a * in place of the host is asked at
	// the address of each node. A unit without a URL is not asked.
	URLs   map[string]string
	Client *http.Client // nil: one that follows no redirect and has a time limit
}

// probeTime bounds one question.
const probeTime = 5 * time.Second

// CheckProbe refuses what is no URL of a unit.
func CheckProbe(text string) error {
	u, err := url.Parse(strings.Replace(text, "//*", "//any", 1))
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("is not a URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("has a user, a query or a fragment")
	}
	return nil
}

// Healthy implements Health.
func (p Probe) Healthy(ctx context.Context, u Unit) error {
	at := p.URLs[u.Name]
	if at == "" {
		return nil
	}
	if !strings.Contains(at, "//*") {
		return p.ask(ctx, at)
	}
	for _, n := range u.Nodes {
		if n.Address == "" {
			return fault.WithHint(fmt.Errorf("node %s has no address that is known here", n.Name),
				"name a URL without a * for unit "+u.Name)
		}
		if err := p.ask(ctx, strings.Replace(at, "//*", "//"+hostOf(n.Address), 1)); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

func hostOf(address string) string {
	if ip := net.ParseIP(address); ip != nil && ip.To4() == nil {
		return "[" + address + "]"
	}
	return address
}

func (p Probe) ask(ctx context.Context, at string) error {
	for _, path := range []string{"/healthz", "/healthz/readiness"} {
		if err := p.get(ctx, strings.TrimRight(at, "/")+path); err != nil {
			return fmt.Errorf("%s %w", path, err)
		}
	}
	return nil
}

func (p Probe) get(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errors.New("has an address that is none")
	}
	client := p.Client
	if client == nil {
		client = plainClient()
		defer client.CloseIdleConnections()
	}
	resp, err := client.Do(req)
	if err != nil {
		if bare, ok := errors.AsType[*url.Error](err); ok {
			err = bare.Err
		}
		return fmt.Errorf("does not answer: %w", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("answers %d", resp.StatusCode)
	}
	return nil
}

// plainClient uses no proxy: it may be the gate, and a node is not beyond it.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

package proxytoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
	"sallyport/internal/rotation"
	"sallyport/internal/secret"
)

// maxProbed bounds what is read of an answer, in bytes. Sallyport's own take less than 2 KiB.
const maxProbed = 64 << 10

// probe makes a call through the gate, as n8n would, to the page that says who a token is. The gate is its own
// listener's address when own is set.
//
// It is made once. An answer that says nothing of the token (503, or a page of something else) fails the step like a
// refusal: before n8n has the new value the old one stays valid, and afterwards both are accepted, until the next run,
// which the schedule begins by itself.
func (r *Rotator) probe(gate *url.URL, own bool) (rotation.Probe, error) {
	tlsConfig, err := r.TLS()
	if err != nil {
		return nil, err
	}
	if !own {
		tlsConfig.ServerName = ""
	}
	client := &http.Client{
		Timeout:       20 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: tlsConfig},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	target := gate.JoinPath("/whoami").String()
	return func(ctx context.Context, value secret.Value) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return fmt.Errorf("calling the gate: %w", err)
		}
		req.Header.Set(boundary.HeaderToken, string(value.Reveal()))
		resp, err := client.Do(req)
		if err != nil {
			return fault.WithHint(fmt.Errorf("calling the gate with the new token: %w", err),
				"is the gate running, and is `gate` its address?")
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbed))
		if err != nil {
			return fmt.Errorf("calling the gate with the new token: reading its answer: %w", err)
		}
		id, _ := token.Parse(string(value.Reveal()))
		if hint, err := verdict(resp, body, id); err != nil {
			return fault.WithHint(fmt.Errorf("calling the gate at %s with the new token: %w", gate.Host, err), hint)
		}
		return nil
	}, nil
}

// probed is what is read of an answer of /whoami: that of boundary.Whoami, or that of a refusal.
type probed struct {
	Token string     `json:"token"`
	Code  fault.Code `json:"code"`
}

// verdict tells why an answer of /whoami does not prove that the gate accepts the token with this id, and what to do;
// nil: it does.
//
// Two answers prove it. One is 200 with the id of the token, which a page of anything else does not have. The other is
// the refusal of a valid token for the address it came from: that is the address of this process, and `from` has to
// name n8n's. Nothing of the answer but what is known beforehand is in the error: it goes to a log, and may be a
// stranger's.
func verdict(resp *http.Response, body []byte, id string) (hint string, err error) {
	var a probed
	if json.Unmarshal(body, &a) != nil {
		a = probed{}
	}
	status := resp.Header.Get("Proxy-Status")
	switch {
	case strings.HasPrefix(status, "sallyport; received-status="):
		return "`gate` is the gate's own address, without the path of a service",
			errors.New("a service of the gate answered")
	case resp.StatusCode == http.StatusOK && id != "" && a.Token == id:
		return "", nil
	case strings.HasPrefix(status, "sallyport") && fault.Lookup(a.Code).Code == a.Code:
		return refusal(resp.StatusCode, status, a.Code)
	}
	return notSallyport(resp)
}

// refusal is what one of Sallyport's own answers says of a token.
func refusal(status int, proxyStatus string, code fault.Code) (hint string, err error) {
	row := fault.Lookup(code)
	if code == fault.RequestDenied &&
		strings.HasPrefix(proxyStatus, "sallyport; error="+row.ProxyError+`; details="`+boundary.ElsewhereDetails+`"`) {
		return "", nil
	}
	err = fmt.Errorf("it answered %d (%s): %s", status, code, row.Meaning)
	switch {
	case code == fault.TokenInvalid:
		return "does the gate use the same database?", err
	case code == fault.TokenMissing:
		return "something between here and the gate takes the header " + boundary.HeaderToken + " away", err
	case code == fault.TokenExpired:
		return "compare `expires` of the token, and the clocks of the two machines", err
	case code == fault.TokenRevoked:
		return "the new token was revoked meanwhile: rotate again", err
	case code == fault.RequestDenied || code == fault.ServiceUnknown:
		return "is `gate` the gate's own address, without the path of a service, and is the gate of this version?", err
	case row.Blame == fault.BlameSallyport:
		return "this says nothing of the token; rotate again when /readyz of the gate says that it is ready", err
	}
	return row.Hint, err
}

// notSallyport is about the answer of something that stands in front of the gate, or in its place.
func notSallyport(resp *http.Response) (hint string, err error) {
	if to, none := resp.Location(); none == nil {
		return "set `gate` to where the gate is, as n8n reaches it: scheme, host and port",
			fmt.Errorf("it answered %d, a redirect to %q, which is not followed with a token", resp.StatusCode,
				to.Scheme+"://"+to.Host)
	}
	return "what listens there, or stands in front of the gate? `gate` is the gate's own address, and /whoami has to " +
			"reach it",
		fmt.Errorf("it answered %d, and that is not Sallyport's answer", resp.StatusCode)
}

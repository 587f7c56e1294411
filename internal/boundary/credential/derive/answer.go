package derive

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/secret"
)

// Lifetimes of tokens.
const (
	// DefaultLifetime is assumed where the response names none, or none above zero. If the token ends before, the API
	// says so, and Source.Expired mints another.
	DefaultLifetime = 10 * time.Minute
	// MaxLifetime caps what the response names.
	MaxLifetime = 24 * time.Hour
)

// The sizes of a token, in bytes: a shorter one could not be told from ordinary text when it comes back, a longer one
// has no place in a header.
const (
	minToken = 4
	maxToken = 16 << 10
)

// answer is what a token endpoint answered, whole.
type answer struct {
	host      string
	status    int
	header    http.Header
	body      []byte
	started   time.Time
	skew      time.Duration
	wildClock bool // the provider's Date is further off than is tolerated
	secrets   []secret.Value
}

// grant is what a token endpoint granted (RFC 6749 section 5.1).
type grant struct {
	token, refresh secret.Value
	expiry         time.Time // by this machine's clock
	named          float64   // the seconds that the response names, 0 for none; expiry is capped
	scopes         []string  // nil: as asked for
}

// grant reads a token response. What belongs to the token, such as its refresh token, is read from beside it.
func (a *answer) grant(at place, fallback time.Duration) (*grant, error) {
	top, err := a.members()
	if err != nil {
		return nil, err
	}
	m, raw := at.find(top)
	if isBlank(raw) && a.refuses(top) { // some providers refuse with status 200
		return nil, a.refused(top)
	}
	g := &grant{}
	if g.token, err = readToken(raw); err != nil {
		if at.nested() && raw == nil {
			err = fmt.Errorf("no token at %s in it", at.pointer)
		}
		return nil, a.broken("answered with " + err.Error())
	}
	if raw, there := m["refresh_token"]; there && !isNull(raw) && string(raw) != `""` {
		if g.refresh, err = readToken(raw); err != nil {
			return nil, a.broken("answered with, as refresh token, " + err.Error())
		}
	}
	g.named = seconds(m["expires_in"])
	g.expiry = a.started.Add(lifetime(g.named, fallback))
	g.scopes = scopes(m["scope"])
	return g, nil
}

// scopes reads the scopes that were granted (RFC 6749 section 3.3), as far as they have the form of one.
func scopes(raw json.RawMessage) []string {
	var text string
	if json.Unmarshal(raw, &text) != nil || len(text) > 4<<10 {
		return nil
	}
	return slices.DeleteFunc(strings.FieldsFunc(text, func(r rune) bool {
		return r == ' ' || r == ','
	}), func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' })
	})
}

// members reads the response's object, or says why there is none. A response that is no success is an error with its
// code.
func (a *answer) members() (map[string]json.RawMessage, error) {
	if err := a.readable(); err != nil {
		return nil, err
	}
	if a.status < 200 || a.status > 299 {
		return nil, a.refusal()
	}
	m, err := a.object()
	if err != nil {
		return nil, a.broken("answered with " + err.Error())
	}
	return m, nil
}

func (a *answer) readable() error {
	switch {
	case len(a.body) > MaxAnswer:
		return a.broken("answered with more than 1 MiB")
	case a.status >= 300 && a.status <= 399:
		return &EndpointError{
			Host: a.host, Status: a.status,
			Reason: "answered with a redirect, which is not followed", fate: refused,
		}
	}
	return nil
}

// broken is a response that cannot be used, though the call may have been carried out.
func (a *answer) broken(reason string) error {
	return &EndpointError{Host: a.host, Status: a.status, Reason: reason, fate: unclear}
}

// refusal reads a response that is no success (RFC 6749 section 5.2).
func (a *answer) refusal() error {
	e := &EndpointError{
		Host: a.host, Status: a.status, fate: refused,
		RetryAfter: retryAfter(a.header.Get("Retry-After")),
	}
	if a.status >= 500 && a.status != http.StatusServiceUnavailable {
		e.fate = unclear // a gateway may have lost the response of a call that was carried out
	}
	if m, err := a.object(); err == nil {
		e.Code, e.dead = a.code(m), a.saysDead(m)
	} else if text := string(a.text()); len(text) <= 64 { // one word, and no object around it
		e.Code = a.word(text)
		e.dead = deadWord(e.Code)
	}
	if e.Code == "" {
		e.Reason = "refused"
	}
	if a.wildClock {
		e.Reason = "its clock and this machine's are more than " +
			strconv.Itoa(int(MaxSkew.Minutes())) + " minutes apart"
		if e.Code == "" {
			e.Reason = "refused; " + e.Reason
		}
	}
	return e
}

// readToken wants a JSON string that can stand in a header.
func readToken(raw json.RawMessage) (secret.Value, error) {
	var text string
	switch {
	case raw == nil || isNull(raw):
		return secret.Value{}, errors.New("no token in it")
	case json.Unmarshal(raw, &text) != nil:
		return secret.Value{}, errors.New("a token that is not a string")
	}
	return checkToken(text)
}

func checkToken(text string) (secret.Value, error) {
	switch {
	case text == "":
		return secret.Value{}, errors.New("an empty token")
	case len(text) < minToken:
		return secret.Value{}, errors.New("a token too short to be kept from coming back")
	case len(text) > maxToken:
		return secret.Value{}, errors.New("a token of more than 16 KiB")
	case strings.ContainsAny(text, "\r\n"):
		return secret.Value{}, errors.New("a token with a line break")
	case strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' || r >= 0x7f
	}), text[0] == ' ', text[len(text)-1] == ' ':
		return secret.Value{}, errors.New("a token with a character that cannot stand in a header")
	}
	return secret.NewValue([]byte(text)), nil
}

// seconds reads a number, or a string that is one; anything else is 0.
func seconds(raw json.RawMessage) float64 {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(n) {
		return 0
	}
	return n
}

// lifetime turns what an answer said into what is believed: above zero and at most MaxLifetime.
func lifetime(seconds float64, fallback time.Duration) time.Duration {
	switch {
	case seconds >= MaxLifetime.Seconds():
		return MaxLifetime
	case seconds > 0:
		return max(time.Duration(seconds*float64(time.Second)), time.Millisecond)
	case fallback > 0:
		return min(fallback, MaxLifetime)
	}
	return DefaultLifetime
}

// retryAfter reads RFC 9110 section 10.2.3; 0 if it says nothing.
func retryAfter(header string) time.Duration {
	if n, err := strconv.ParseInt(header, 10, 32); err == nil {
		return time.Duration(max(n, 0)) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

package app_test

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/testkit/presetkeys"
)

// What is made up. Secrets and tokens have characters that URLs, forms, JSON and base64 write differently.
const (
	madeUp      = "made-up+"
	mintedToken = "minted+"
	givenHeader = "given-header"
	googleScope = "https://www.googleapis.com/auth/drive"
	awsRegion   = "eu-central-1"
	awsService  = "sqs"
	callPath    = "/some/path"
)

// play is one preset in the test: what it was given, and what the stand-in got.
type play struct {
	presetkeys.Preset

	world   *presetWorld
	key     *presetKey
	secrets map[string]string // by field, as the store has them

	mu       sync.Mutex
	logins   []arrival
	arrivals []arrival
	seen     int // arrivals that last has returned
	planned  []reply
}

// arrival is a request as it came, without the preset's name in the path.
type arrival struct {
	Method, URI, Host string
	Header            http.Header
	Body              string
}

// reply is an answer of the API, in JSON.
type reply struct {
	status int
	body   string
}

var fine = reply{http.StatusOK, `{"fine":true}`}

// presetKey is the key of all that sign with one.
type presetKey struct {
	private *rsa.PrivateKey
	pem     string
}

func newPresetKey(t *testing.T) *presetKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &presetKey{key, pemKey(t, key)}
}

func secretName(i int) string { return "secret" + strconv.Itoa(i) }

// inURL tells inputs that become part of a URL or a host, which no reference can be.
func inURL(name string) bool {
	return slices.Contains([]string{"tenant", "database", "workspace", "webhook", "webhook_id"}, name)
}

// ref makes a value up, and returns a reference to it.
func (p *play) ref(name string) string {
	value := madeUp + p.Name + "/" + name + `="&%`
	switch {
	case p.Credential.Kind == "path":
		value = "123:" + madeUp + p.Name // no path has a slash in a segment
	case name == "key":
		value = p.key.pem
	case name == "access_key", name == "session_token", name == "client_id":
		value = madeUp + p.Name + "=" + name
	case name == "service_account":
		account, _ := json.Marshal(map[string]string{
			"type": "service_account", "client_email": "n8n@project.example",
			"private_key": p.key.pem, "token_uri": p.world.at + "/" + p.Name + "/oauth2.googleapis.com/token",
		})
		value = string(account)
	}
	p.secrets[name] = value
	return "ref+made://" + p.Name + "#" + name
}

// input is what the preset was given for one of its needs.
func (p *play) input(name string) string {
	if inURL(name) {
		return "contoso"
	}
	return p.secrets[name]
}

func (p *play) derived() bool { return p.Credential.Derived() }

// username is what is given where a preset asks for one; where n8n writes something behind it, as the preset says, with
// that.
func (p *play) username() string {
	const name = "someone+else@example.com"
	for _, n := range n8nTypes(p.Preset) {
		for _, place := range n.Places {
			if user, _, _ := strings.Cut(place.Format, ":"); place.In == "basic" && strings.Contains(user, "{") {
				return braced.ReplaceAllLiteralString(user, name)
			}
		}
	}
	return name
}

// token is the one that the login of that number brought, counted from 1.
func (p *play) token(serial int) string { return fmt.Sprint(mintedToken, p.Name, "/", serial, "=") }

// refreshToken is what goes into the refresh of that number.
func (p *play) refreshToken(serial int) string {
	if serial == 1 {
		return p.secrets["refresh_token"]
	}
	return fmt.Sprint(mintedToken, p.Name, "/refresh/", serial, "=")
}

func (p *play) plan(replies ...reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.planned = replies
}

func (p *play) minted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.logins)
}

// last returns what the API got since, or the last n requests again.
func (p *play) last(n int) []arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := p.seen
	if n > 0 {
		from = len(p.arrivals) - n
	}
	p.seen = len(p.arrivals)
	return p.arrivals[from:]
}

// newStandIn is every API and every provider, on one listener.
func newStandIn(t *testing.T, plays map[string]*play) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(r.RequestURI, "/"), "/")
		p, body := plays[name], new(strings.Builder)
		if _, err := io.Copy(body, r.Body); err != nil || p == nil {
			t.Errorf("%s %s: %v", r.Method, r.RequestURI, err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		p.serve(w, arrival{
			Method: r.Method, URI: "/" + rest, Host: r.Host, Header: r.Header.Clone(),
			Body: body.String(),
		})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (p *play) serve(w http.ResponseWriter, got arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if got.Header.Get("X-Own") == "" { // a caller's; the gate's own calls have none
		p.logins = append(p.logins, got)
		p.login(w, got, len(p.logins))
		return
	}
	p.arrivals = append(p.arrivals, got)
	answer := fine
	if len(p.planned) > 0 {
		answer, p.planned = p.planned[0], p.planned[1:]
	}
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body)
}

// login answers as the provider does.
func (p *play) login(w http.ResponseWriter, got arrival, serial int) {
	c, inAnHour := p.Credential, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	answer := map[string]any{}
	switch c.Kind {
	case presetkeys.KindGitHubApp:
		w.WriteHeader(http.StatusCreated)
		answer["token"], answer["expires_at"] = p.token(serial), inAnHour
	case presetkeys.KindExchange:
		switch kind, name, _ := strings.Cut(c.Token, ":"); kind {
		case "header":
			w.Header().Set(name, p.token(serial))
		case "cookie":
			w.Header().Set("Set-Cookie", name+"=some-session")
		default:
			set(answer, c.Token, p.token(serial))
		}
		if strings.HasPrefix(c.Lifetime, "/") {
			set(answer, c.Lifetime, 3600)
		}
		if c.ExpiresAt != "" {
			set(answer, c.ExpiresAt, inAnHour)
		}
	default:
		at := cmp.Or(c.Token, "/access_token")
		if strings.Contains(got.Body, "grant_type=refresh_token") {
			at = "/access_token" // Slack has it inside a member after a consent alone
		} else if c.Token != "" {
			answer["access_token"], answer["refresh_token"], answer["expires_in"] = "of-someone-else",
				"of-someone-else", 1
		}
		beside := strings.TrimSuffix(at, "access_token")
		set(answer, at, p.token(serial))
		set(answer, beside+"token_type", "bearer")
		set(answer, beside+"expires_in", 3600)
		if c.Kind == presetkeys.KindRefreshToken {
			set(answer, beside+"refresh_token", p.refreshToken(serial+1))
		}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// set puts a value where a JSON pointer says.
func set(doc map[string]any, pointer string, value any) {
	name, rest, deeper := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	if !deeper {
		doc[name] = value
		return
	}
	inner, _ := doc[name].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
		doc[name] = inner
	}
	set(inner, "/"+rest, value)
}

func (p *play) expiryStatus() []int {
	if e := p.Credential.ExpiredWhen; e != nil {
		return e.Status
	}
	return []int{http.StatusUnauthorized}
}

// expired are the answers by which the API says that the token has expired: each status, and each value of the body, as
// a string and, where it is one, as a number, with status 200.
func (p *play) expired() (list []reply) {
	for _, status := range p.expiryStatus() {
		list = append(list, reply{status, `{"message":"expired"}`})
	}
	e := p.Credential.ExpiredWhen
	if e == nil || e.Body == nil {
		return list
	}
	for _, value := range e.Body.In {
		list = append(list, reply{http.StatusOK, at(e.Body.Pointer, strconv.Quote(value))})
		if _, err := strconv.Atoi(value); err == nil {
			list = append(list, reply{http.StatusOK, at(e.Body.Pointer, value)})
		}
	}
	return list
}

// at is a JSON text with a value where the pointer says; a number in it is a place in a list.
func at(pointer, value string) string {
	if pointer == "" {
		return value
	}
	name, rest, deeper := strings.Cut(pointer[1:], "/")
	if deeper {
		value = at("/"+rest, value)
	}
	if n, err := strconv.Atoi(name); err == nil {
		return "[" + strings.Repeat("{},", n) + value + "]"
	}
	return "{" + strconv.Quote(name) + ":" + value + "}"
}

package vault

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

const (
	// reread is how old a given token may be before it is read again.
	reread = 5 * time.Second
	// serviceAccount is where Kubernetes puts the pod's token.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	// maxJWT bounds a file that should hold a token.
	maxJWT = 64 << 10
)

// givenToken is a token that someone else has obtained.
type givenToken func() (secret.Value, error)

func (read givenToken) login(context.Context) (session, error) {
	token, err := readCredential(read)
	if err != nil {
		return session{}, fmt.Errorf("reading vault's token: %w", err)
	}
	now := time.Now()
	return session{token: token, since: now, given: true, recheck: now.Add(reread)}, nil
}

// readCredential calls read and checks that the result can be sent in a header.
func readCredential(read func() (secret.Value, error)) (secret.Value, error) {
	v, err := read()
	if err != nil {
		return secret.Value{}, fault.WithHint(fmt.Errorf("%w: %w", secret.ErrUnavailable, err),
			cmp.Or(fault.HintOf(err), "is it there, and may this process read it?"))
	}
	b := bytes.TrimSpace(v.Reveal())
	if len(b) == 0 || bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret.Value{}, unavailable("it is empty, or has characters that no token has",
			"put the token alone into the file or variable")
	}
	return secret.NewValue(b), nil
}

// appRole logs in with a role id and a secret id.
type appRole struct {
	AppRole
	client    *client
	mu        sync.Mutex
	wrapping  secret.Value // the wrapping token that was used, which cannot be used again
	unwrapped secret.Value // and what was in it
}

func (a *appRole) login(ctx context.Context) (session, error) {
	body := map[string]string{"role_id": a.RoleID}
	if a.SecretID != nil {
		id, err := a.secretID(ctx)
		if err != nil {
			return session{}, fmt.Errorf("reading the secret id of vault's approle: %w", err)
		}
		body["secret_id"] = string(id.Reveal())
	}
	return a.client.login(ctx, "approle", a.mount(), body,
		"the role id or the secret id is wrong, used up, expired or bound to other addresses")
}

func (a *appRole) mount() string { return cmp.Or(strings.Trim(a.Mount, "/"), "approle") }

func (a *appRole) secretID(ctx context.Context) (secret.Value, error) {
	id, err := readCredential(a.SecretID)
	if err != nil || !a.Wrapped {
		return id, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if id.Equal(a.wrapping) {
		return a.unwrapped, nil
	}
	inner, err := a.unwrap(ctx, id)
	if err == nil {
		a.wrapping, a.unwrapped = id, inner
	}
	return inner, err
}

// unwrap opens a response-wrapping token, after looking whether it was made by the role: anybody may have put a token
// of their own into its place.
func (a *appRole) unwrap(ctx context.Context, wrapping secret.Value) (secret.Value, error) {
	looked, err := a.client.send(ctx, request{
		method: http.MethodPost, path: "sys/wrapping/lookup",
		body: map[string]string{"token": string(wrapping.Reveal())},
	}, secret.Value{})
	if err != nil {
		return secret.Value{}, unwrapFailed(err)
	}
	path, _ := looked.Data["creation_path"].(string)
	if !strings.HasPrefix(path, "auth/"+a.mount()+"/role/") || !strings.HasSuffix(path, "/secret-id") {
		return secret.Value{},
			fault.WithHint(fmt.Errorf("%w: the wrapping token was not made for a secret id of auth/%s",
				secret.ErrDenied, a.mount()),
				"find out who has put it there; make one with `vault write -wrap-ttl=5m -f auth/"+a.mount()+
					"/role/<role>/secret-id`")
	}
	opened, err := a.client.send(ctx, request{method: http.MethodPost, path: "sys/wrapping/unwrap"}, wrapping)
	if err != nil {
		return secret.Value{}, unwrapFailed(err)
	}
	id, _ := opened.Data["secret_id"].(string)
	if id == "" {
		return secret.Value{}, unavailable("there is no secret id in the wrapping", notVault)
	}
	return secret.NewValue([]byte(id)), nil
}

func unwrapFailed(err error) error {
	var e *answerError
	if !errors.As(err, &e) || e.status >= http.StatusInternalServerError {
		return explain(err)
	}
	return fault.WithHint(fmt.Errorf("%w: the wrapping token was used already or has expired", secret.ErrDenied),
		"if nobody here has used it, another process holds the secret id: destroy it; then deliver a new wrapping "+
			"token")
}

// bearer logs in with a JWT from a file: a pod's service account, or an identity provider's.
type bearer struct {
	client            *client
	kind, mount, role string
	file              string
}

func (b *bearer) login(ctx context.Context) (session, error) {
	jwt, err := readCredential(func() (secret.Value, error) { return readFile(cmp.Or(b.file, serviceAccount)) })
	if err != nil {
		return session{}, fmt.Errorf("reading the token for vault's %s login: %w", b.kind, err)
	}
	body := map[string]string{"jwt": string(jwt.Reveal())}
	if b.role != "" {
		body["role"] = b.role
	}
	mount := cmp.Or(strings.Trim(b.mount, "/"), b.kind)
	return b.client.login(ctx, b.kind, mount, body,
		fmt.Sprintf("see `vault read auth/%s/role/%s`: its audience, bound subjects and names, and that vault may "+
			"ask who signed the token", mount, b.role))
}

func readFile(name string) (secret.Value, error) {
	f, err := localfile.Open(name)
	if err != nil {
		return secret.Value{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxJWT))
	return secret.NewValue(b), err
}

// certificate logs in with the client certificate that every connection of the client shows.
type certificate struct {
	Cert
	client *client
}

func (c *certificate) login(ctx context.Context) (session, error) {
	body := map[string]string{}
	if c.Role != "" {
		body["name"] = c.Role
	}
	return c.client.login(ctx, "cert", cmp.Or(strings.Trim(c.Mount, "/"), "cert"), body,
		"see that a role under auth/cert/certs trusts the certificate, and that it has not expired")
}

// login posts credentials to an auth method. Whatever the refusal's status, it is the credentials that are refused: no
// secret is missing yet.
func (c *client) login(ctx context.Context, kind, mount string, body map[string]string, hint string) (session, error) {
	r, err := c.send(ctx, request{
		method: http.MethodPost, path: "auth/" + mount + "/login",
		body: body,
	}, secret.Value{})
	var e *answerError
	switch {
	case errors.As(err, &e) && e.says("sent an HTTP request to an HTTPS server"):
		err = explain(err)
	case errors.As(err, &e) && (e.says("no handler for route") || e.status == http.StatusNotFound):
		err = fault.WithHint(fmt.Errorf("%w: there is no auth method at auth/%s", secret.ErrDenied, mount),
			"see `vault auth list`, and `mount` and `namespace` of the store")
	case errors.As(err, &e) && e.status == http.StatusForbidden: // also where nothing is mounted
		err = fault.WithHint(fmt.Errorf("%w: %w", secret.ErrDenied, e),
			hint+"; and that `vault auth list` has auth/"+mount)
	case errors.As(err, &e) && (e.status == http.StatusBadRequest || e.status == http.StatusUnauthorized):
		err = fault.WithHint(fmt.Errorf("%w: %w", secret.ErrDenied, e), hint)
	case err != nil:
		err = explain(err)
	case r.Auth == nil || r.Auth.ClientToken == "":
		err = unavailable("vault answered without a token", "a login that asks for a second factor cannot be used")
	default:
		return newSession(r.Auth), nil
	}
	return session{}, fmt.Errorf("logging in to vault by %s: %w", kind, err)
}

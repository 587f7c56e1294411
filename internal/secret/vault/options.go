package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// callTimeout bounds a call whose context has no earlier end.
const callTimeout = 10 * time.Second

// Options says where a Vault is and how to log in. Exactly one of Token, AppRole, Kubernetes, JWT and Cert is set.
type Options struct {
	Address   string         // https://vault.example.com:8200, also with a path in front of /v1
	Namespace string         // of Vault Enterprise or OpenBao; "" is the root
	CAPool    *x509.CertPool // who may sign Vault's certificate; nil is whom the system trusts
	KV        int            // the KV engine's version, 1 or 2; 0 asks Vault
	Timeout   time.Duration  // of one call; 0 is 10 s

	// Token reads a token that someone else obtained, from a file or a variable. It is called again as long as the
	// store is used, so that a new token is noticed.
	Token      func() (secret.Value, error)
	AppRole    *AppRole
	Kubernetes *Kubernetes
	JWT        *JWT
	Cert       *Cert
}

// AppRole logs in with a role id and a secret id.
type AppRole struct {
	RoleID string
	// SecretID reads the secret id, or the response-wrapping token of one when Wrapped is set; nil for a role with
	// bind_secret_id=false. It is called at every login.
	SecretID func() (secret.Value, error)
	Wrapped  bool
	Mount    string // "" is approle
}

// Kubernetes logs in with the pod's service account.
type Kubernetes struct {
	Role    string
	JWTFile string // read at every login; "" is where Kubernetes puts it
	Mount   string // "" is kubernetes
}

// JWT logs in with a token of an identity provider.
type JWT struct {
	Role    string // "" is the mount's default role
	JWTFile string // read at every login
	Mount   string // "" is jwt
}

// Cert logs in with a TLS client certificate.
type Cert struct {
	Role        string // the name under auth/<mount>/certs; "" lets Vault choose by the certificate
	Certificate tls.Certificate
	Mount       string // "" is cert
}

func (o Options) check() error {
	u, err := url.Parse(o.Address)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		// The address is not quoted: a person may have put a token into it.
		return fault.WithHint(errors.New("the address of vault cannot be used"),
			"write it as https://vault.example.com:8200")
	}
	if o.KV < 0 || o.KV > 2 {
		return fmt.Errorf("kv is %d: want 1, 2, or 0 to ask vault", o.KV)
	}
	if hasControl(o.Namespace) {
		return errors.New("the namespace has control characters")
	}
	return o.checkAuth()
}

func (o Options) checkAuth() error {
	methods := 0
	for _, set := range []bool{o.Token != nil, o.AppRole != nil, o.Kubernetes != nil, o.JWT != nil, o.Cert != nil} {
		if set {
			methods++
		}
	}
	switch {
	case methods != 1:
		return fault.WithHint(fmt.Errorf("vault has %d ways to log in", methods),
			"give exactly one of token, approle, kubernetes, jwt and cert")
	case o.AppRole != nil && o.AppRole.RoleID == "":
		return errors.New("approle has no role_id")
	case o.AppRole != nil && o.AppRole.Wrapped && o.AppRole.SecretID == nil:
		return errors.New("approle says that the secret id is wrapped, and has none")
	case o.Kubernetes != nil && o.Kubernetes.Role == "":
		return errors.New("kubernetes has no role")
	case o.JWT != nil && o.JWT.JWTFile == "":
		return errors.New("jwt has no jwt_file")
	case o.Cert != nil && len(o.Cert.Certificate.Certificate) == 0:
		return errors.New("cert has no certificate")
	case o.Cert != nil && o.Address[:5] != "https":
		return fault.WithHint(errors.New("a login with a certificate needs TLS"), "write the address with https://")
	}
	return nil
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return callTimeout
}

// method is the way to log in that o names.
func (o Options) method(c *client) method {
	switch {
	case o.AppRole != nil:
		return &appRole{AppRole: *o.AppRole, client: c}
	case o.Kubernetes != nil:
		return &bearer{
			client: c, kind: "kubernetes", mount: o.Kubernetes.Mount, role: o.Kubernetes.Role,
			file: o.Kubernetes.JWTFile,
		}
	case o.JWT != nil:
		return &bearer{client: c, kind: "jwt", mount: o.JWT.Mount, role: o.JWT.Role, file: o.JWT.JWTFile}
	case o.Cert != nil:
		return &certificate{Cert: *o.Cert, client: c}
	default:
		return givenToken(o.Token)
	}
}

// method is a way to get a token.
type method interface {
	// login returns a session. Errors are of the port's vocabulary.
	login(ctx context.Context) (session, error)
}

package vault

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

// Auth is the key auth: how to log in. Exactly one way is set.
type Auth struct {
	TokenFile  string          `yaml:"token_file" path:"file" eg:"/run/secrets/vault_token" doc:"A file with a token; read again whenever a token is needed, so an agent may renew it."`
	TokenEnv   string          `yaml:"token_env" eg:"VAULT_TOKEN" doc:"The environment variable that holds a token."`
	AppRole    *AppRoleAuth    `yaml:"approle" doc:"AppRole."`
	Kubernetes *KubernetesAuth `yaml:"kubernetes" doc:"The pod's service account."`
	JWT        *JWTAuth        `yaml:"jwt" doc:"A JWT from a file."`
	Cert       *CertAuth       `yaml:"cert" doc:"A TLS client certificate."`
}

// AppRoleAuth is Vault's login for machines.
type AppRoleAuth struct {
	RoleID       string `yaml:"role_id" free:"true" eg:"5a1b…" doc:"The role id; not a secret by itself."`
	SecretIDFile string `yaml:"secret_id_file" path:"file" eg:"/run/secrets/vault_secret_id" doc:"A file with the secret id."`
	SecretIDEnv  string `yaml:"secret_id_env" eg:"VAULT_SECRET_ID" doc:"The environment variable that holds the secret id."`
	Wrapped      bool   `yaml:"wrapped" default:"false" doc:"It is a response-wrapping token around the secret id; unwrapped once."`
	Mount        string `yaml:"mount" default:"approle" doc:"Where the method is mounted."`
}

// KubernetesAuth is a login with the pod's service account.
type KubernetesAuth struct {
	Role    string `yaml:"role" eg:"sallyport" needed:"write role: NAME, as the method in Vault has it" doc:"The role."`
	JWTFile string `yaml:"jwt_file" path:"file" default:"/var/run/secrets/kubernetes.io/serviceaccount/token" doc:"The file with the service account's token, read at each login."`
	Mount   string `yaml:"mount" default:"kubernetes" doc:"Where the method is mounted."`
}

// JWTAuth is a login with a JSON Web Token.
type JWTAuth struct {
	Role    string `yaml:"role" eg:"sallyport" doc:"The role. Default: the method's default role."`
	JWTFile string `yaml:"jwt_file" path:"file" eg:"/var/run/secrets/tokens/vault" needed:"write jwt_file: FILE" doc:"The file with the token, read at each login."`
	Mount   string `yaml:"mount" default:"jwt" doc:"Where the method is mounted."`
}

// CertAuth is a login with a TLS client certificate.
type CertAuth struct {
	Role     string `yaml:"role" eg:"sallyport" doc:"The role. Absent: the one that matches."`
	CertFile string `yaml:"cert_file" path:"file" eg:"/etc/sallyport/vault.crt" doc:"PEM certificate chain, leaf first."`
	KeyFile  string `yaml:"key_file" path:"file" eg:"/etc/sallyport/vault.key" doc:"PEM private key of cert_file."`
	Mount    string `yaml:"mount" default:"cert" doc:"Where the method is mounted."`
}

// ways are those to log in that are set.
func (a *Auth) ways() (found []string) {
	for _, way := range []struct {
		name string
		set  bool
	}{
		{"approle", a.AppRole != nil},
		{"cert", a.Cert != nil},
		{"jwt", a.JWT != nil},
		{"kubernetes", a.Kubernetes != nil},
		{"token_env", a.TokenEnv != ""},
		{"token_file", a.TokenFile != ""},
	} {
		if way.set {
			found = append(found, way.name)
		}
	}
	return found
}

// check wants exactly one way to log in, and that one complete.
func (a *Auth) check(r secret.Report) {
	switch found := a.ways(); len(found) {
	case 0:
		r.Fail("auth", "has no way to log in", "write token_file, token_env, approle, kubernetes, jwt or cert")
	case 1:
	default:
		r.Fail("auth", "has more than one way to log in: "+strings.Join(found, ", "), "keep one")
	}
	r.Variable("auth.token_env", a.TokenEnv)
	if a.AppRole != nil {
		a.AppRole.check(r)
	}
	switch c := a.Cert; {
	case c == nil:
	case c.CertFile == "" || c.KeyFile == "":
		r.Fail("auth.cert", "needs cert_file and key_file", "")
	default:
		r.Pair("auth.cert", c.CertFile, c.KeyFile)
	}
}

func (a *AppRoleAuth) check(r secret.Report) {
	if a.RoleID == "" {
		r.Fail("auth.approle", "has no role_id", "`vault read auth/approle/role/NAME/role-id` shows it")
	}
	switch {
	case a.SecretIDFile != "" && a.SecretIDEnv != "":
		r.Fail("auth.approle.secret_id_env", "stands beside secret_id_file", "keep one")
	case a.SecretIDFile == "" && a.SecretIDEnv == "" && a.Wrapped:
		r.Fail("auth.approle.wrapped", "has no secret id beside it", "write secret_id_file: FILE")
	case a.SecretIDFile == "" && a.SecretIDEnv == "":
		r.Warn("auth.approle", "has no secret id, which only a role with bind_secret_id=false allows",
			"write secret_id_file: FILE; never the secret id itself")
	}
	r.Variable("auth.approle.secret_id_env", a.SecretIDEnv)
}

// into sets the way to log in.
func (a *Auth) into(o *Options) error {
	switch {
	case a.AppRole != nil:
		o.AppRole = &AppRole{RoleID: a.AppRole.RoleID, Wrapped: a.AppRole.Wrapped, Mount: a.AppRole.Mount}
		if a.AppRole.SecretIDFile != "" || a.AppRole.SecretIDEnv != "" {
			o.AppRole.SecretID = fromPlace(a.AppRole.SecretIDFile, a.AppRole.SecretIDEnv)
		}
	case a.Kubernetes != nil:
		o.Kubernetes = &Kubernetes{Role: a.Kubernetes.Role, JWTFile: a.Kubernetes.JWTFile, Mount: a.Kubernetes.Mount}
	case a.JWT != nil:
		o.JWT = &JWT{Role: a.JWT.Role, JWTFile: a.JWT.JWTFile, Mount: a.JWT.Mount}
	case a.Cert != nil:
		pair, err := tls.LoadX509KeyPair(a.Cert.CertFile, a.Cert.KeyFile)
		if err != nil {
			return fmt.Errorf("reading auth.cert: %w", err)
		}
		o.Cert = &Cert{Role: a.Cert.Role, Certificate: pair, Mount: a.Cert.Mount}
	default:
		o.Token = fromPlace(a.TokenFile, a.TokenEnv)
	}
	return nil
}

// fromPlace returns a function that reads a secret from a file or an environment variable each time it is called.
func fromPlace(file, variable string) func() (secret.Value, error) {
	return func() (secret.Value, error) {
		if file != "" {
			raw, err := localfile.Read(file, localfile.Small)
			if err != nil {
				return secret.Value{}, err
			}
			return nonEmpty(strings.TrimSpace(string(raw)), "the file "+file)
		}
		return nonEmpty(os.Getenv(variable), "the environment variable "+variable)
	}
}

func nonEmpty(text, place string) (secret.Value, error) {
	if text == "" {
		return secret.Value{}, fmt.Errorf("%s is empty", place)
	}
	return secret.NewValue([]byte(text)), nil
}

package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/secret"
	"sallyport/internal/secret/awssm"
	"sallyport/internal/secret/azurekv"
	"sallyport/internal/secret/env"
	"sallyport/internal/secret/exec"
	"sallyport/internal/secret/file"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/secret/swarm"
	"sallyport/internal/secret/vault"
)

// openAdapter makes the store that c describes; it contacts nobody. This and builtin's Open are all that know an adapter.
func openAdapter(c *config.Store) (secret.Store, error) {
	switch c.Kind {
	case config.StoreVault:
		return openVault(c)
	case config.StoreAWS:
		return openAWS(c)
	case config.StoreAzure:
		return openAzure(c)
	case config.StoreGoogle:
		return openGoogle(c)
	case config.StoreKubernetes:
		return kubernetes.New(kubernetes.Options{Kubeconfig: c.Kubeconfig, Context: c.Context, Namespace: c.Namespace})
	case config.StoreFile:
		return file.New(file.Options{Dir: c.Dir})
	case config.StoreSwarm:
		return openSwarm(c)
	case config.StoreExec:
		return exec.New(exec.Options{
			Command: c.Command, Timeout: c.Timeout, Pass: c.Pass, Environ: os.Environ(), NotFound: c.NotFound, Denied: c.Denied,
		})
	case config.StoreEnv:
		return env.New(env.Options{Prefix: c.Prefix, Environ: os.Environ()})
	default:
		return nil, fault.WithHint(fmt.Errorf("stores of kind %q are not available in this build", c.Kind), "`sallyport config schema` lists the kinds")
	}
}

// movingVersions tells, for a kind of store, which versions are names that can come to mean another version.
func movingVersions(kind string) func(string) bool {
	switch kind {
	case config.StoreAWS: // staging labels; a version id has 32 to 64 characters
		return func(version string) bool { return len(version) < 32 || len(version) > 64 }
	case config.StoreGoogle: // aliases; a version is a number
		return func(version string) bool { return strings.Trim(version, "0123456789") != "" }
	}
	return nil
}

// certPool reads the certificates of a ca_file; "" is the system's.
func certPool(name string) (*x509.CertPool, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // nil is the system's pool
	}
	pem, err := localfile.Read(name, localfile.Small)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading ca_file %q: %w", name, errors.New("it holds no PEM certificate"))
	}
	return pool, nil
}

// clientCertificate reads a certificate and its key.
func clientCertificate(c *config.CertAuth) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading auth.cert: %w", err)
	}
	return pair, nil
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

func openVault(c *config.Store) (secret.Store, error) {
	pool, err := certPool(c.CAFile)
	if err != nil {
		return nil, err
	}
	o := vault.Options{Address: c.Address.String(), Namespace: c.Namespace, CAPool: pool, KV: c.KV}
	switch a := c.Auth; {
	case a.AppRole != nil:
		o.AppRole = &vault.AppRole{RoleID: a.AppRole.RoleID, Wrapped: a.AppRole.Wrapped, Mount: a.AppRole.Mount}
		if a.AppRole.SecretIDFile != "" || a.AppRole.SecretIDEnv != "" {
			o.AppRole.SecretID = fromPlace(a.AppRole.SecretIDFile, a.AppRole.SecretIDEnv)
		}
	case a.Kubernetes != nil:
		o.Kubernetes = &vault.Kubernetes{Role: a.Kubernetes.Role, JWTFile: a.Kubernetes.JWTFile, Mount: a.Kubernetes.Mount}
	case a.JWT != nil:
		o.JWT = &vault.JWT{Role: a.JWT.Role, JWTFile: a.JWT.JWTFile, Mount: a.JWT.Mount}
	case a.Cert != nil:
		pair, err := clientCertificate(a.Cert)
		if err != nil {
			return nil, err
		}
		o.Cert = &vault.Cert{Role: a.Cert.Role, Certificate: pair, Mount: a.Cert.Mount}
	default:
		o.Token = fromPlace(a.TokenFile, a.TokenEnv)
	}
	return vault.New(o)
}

func openAWS(c *config.Store) (secret.Store, error) {
	pool, err := certPool(c.CAFile)
	if err != nil {
		return nil, err
	}
	o := awssm.Options{Region: c.Region, Endpoint: c.Endpoint, Profile: c.Profile, CAPool: pool}
	if r := c.AssumeRole; r != nil {
		o.AssumeRole = awssm.AssumeRole{ARN: r.ARN, ExternalID: r.ExternalID, Session: r.Session, Endpoint: r.Endpoint}
	}
	return awssm.New(o)
}

func openAzure(c *config.Store) (secret.Store, error) {
	pool, err := certPool(c.CAFile)
	if err != nil {
		return nil, err
	}
	return azurekv.New(azurekv.Options{VaultURL: c.VaultURL.String(), TenantID: c.TenantID, ClientID: c.ClientID, CAPool: pool})
}

func openGoogle(c *config.Store) (secret.Store, error) {
	pool, err := certPool(c.CAFile)
	if err != nil {
		return nil, err
	}
	return gcpsm.New(gcpsm.Options{Project: c.Project, Endpoint: c.Endpoint, CAPool: pool})
}

// openSwarm returns a store that reads what is mounted, and with a Docker host one that writes and lists too.
func openSwarm(c *config.Store) (secret.Store, error) {
	o := swarm.Options{Dir: c.Dir, Host: c.Host}
	if c.Host == "" {
		return swarm.New(o)
	}
	return swarm.NewManager(o)
}

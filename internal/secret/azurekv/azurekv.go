// Package azurekv is the store in Azure Key Vault: the secrets of one vault.
//
// A path is a secret's name; see encode for paths that are no names. A version is the service's own id of 32
// characters. It is a secret.Store, secret.Writer and secret.Lister. It is not a cache: every Get asks the service. Key
// Vault has no check-and-set: of two writers at once both make a version, and the later one is current.
//
// Invariant: no error carries what the service or an identity provider wrote in a response, beyond the error's code;
// the token goes to the vault's own host and nowhere else.
package azurekv

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// DefaultTimeout bounds an operation whose context does not end earlier.
const DefaultTimeout = 10 * time.Second

// apiVersion is of 2023, and is what sovereign and private clouds have too; later ones add nothing that is used here.
const apiVersion = "7.4"

// Options say which vault, and as whom. VaultURL is required.
type Options struct {
	VaultURL string // https://<vault>.vault.azure.net
	TenantID string // of the identity; "" is the environment's
	ClientID string // of a user-assigned or workload identity; "" is the environment's

	// Credential is used instead of the default chain (environment, workload identity, managed identity, az, azd).
	Credential azcore.TokenCredential

	CAPool *x509.CertPool // certificates to trust instead of the system's

	// Purge makes Delete final, where the vault allows it. Otherwise the vault keeps what is deleted for 7 to 90 days.
	Purge bool

	Timeout    time.Duration // of one operation; 0 is DefaultTimeout
	RetryDelay time.Duration // before the first of three retries, growing; 0 is 200 ms
}

// Store reads and writes the secrets of a vault. It is safe for concurrent use.
type Store struct {
	client *azsecrets.Client
	vault  string // the host, for messages
	purge  bool
	limit  time.Duration
	delay  time.Duration
}

// New checks o and contacts nobody.
func New(o Options) (*Store, error) {
	vault, err := parseVault(o.VaultURL)
	if err != nil {
		return nil, fmt.Errorf("setting up azurekv: %w", err)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = 200 * time.Millisecond
	}
	if o.Credential == nil {
		if o.Credential, err = chain(o.TenantID, o.ClientID); err != nil {
			return nil,
				fault.WithHint(errors.New("setting up azurekv: the environment's Azure settings cannot be used"),
					"check the AZURE_… variables, AZURE_TOKEN_CREDENTIALS among them")
		}
	}
	client, err := azsecrets.NewClient("https://"+vault.Host, named{o.Credential}, &azsecrets.ClientOptions{
		ClientOptions: policy.ClientOptions{
			APIVersion: apiVersion,
			Transport:  newTransport(vault.Host, o.CAPool),
			Retry:      policy.RetryOptions{MaxRetries: 3, RetryDelay: o.RetryDelay, MaxRetryDelay: 5 * time.Second},
		},
		// Elsewhere the token must be one for the domain that the vault is in; an emulator is in none.
		DisableChallengeResourceVerification: isLoopback(vault.Hostname()),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up azurekv: %w", err)
	}
	return &Store{client: client, vault: vault.Host, purge: o.Purge, limit: o.Timeout, delay: o.RetryDelay}, nil
}

func parseVault(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, fault.WithHint(errors.New("vault_url is not the URL of a vault"),
			"it looks like https://corp.vault.azure.net")
	}
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Get implements secret.Store. The current version is the one made last; when it is disabled there is none to read.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	var value secret.Value
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, name string) (err error) {
		value, v, err = s.get(ctx, name, version)
		return err
	})
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed(ctx, "reading", path, err)
	}
	return value, v, nil
}

func (s *Store) get(ctx context.Context, name, version string) (secret.Value, secret.Version, error) {
	if version == "" {
		got, err := s.client.GetSecret(ctx, name, "", nil)
		if err != nil {
			return secret.Value{}, secret.Version{}, s.sort(name, err)
		}
		return read(&got.Secret, true)
	}
	current, err := s.current(ctx, name)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	if !isVersion(version) {
		return secret.Value{}, secret.Version{}, s.gone(name)
	}
	got, err := s.client.GetSecret(ctx, name, version, nil)
	if isStatus(err, 404) {
		err = s.gone(name)
	}
	if err != nil {
		return secret.Value{}, secret.Version{}, s.sort(name, err)
	}
	return read(&got.Secret, version == current)
}

// current is the id of the current version, or "" when it is disabled.
func (s *Store) current(ctx context.Context, name string) (string, error) {
	got, err := s.client.GetSecret(ctx, name, "", nil)
	switch {
	case isInner(err, "SecretDisabled"):
		return "", nil
	case err != nil:
		return "", err
	}
	return parseVersion(got.ID)
}

// sort gives the answers of a read their meaning.
func (s *Store) sort(name string, err error) error {
	if isInner(err, "SecretDisabled") {
		return fault.WithHint(fmt.Errorf("%w: it is disabled", secret.ErrVersionGone),
			fmt.Sprintf("`az keyvault secret set-attributes --enabled true --vault-name %s --name %s` enables it again",
				s.vaultName(), name))
	}
	return err
}

func (s *Store) gone(name string) error {
	return fault.WithHint(secret.ErrVersionGone,
		fmt.Sprintf("`az keyvault secret list-versions --vault-name %s --name %s` shows what there is",
			s.vaultName(), name))
}

func (s *Store) vaultName() string {
	name, _, _ := strings.Cut(s.vault, ".")
	return name
}

var (
	// errHalf is an answer that lacks what every whole one has.
	errHalf = errors.New("the response is not whole")
	// errEncoding is a value that is not in the encoding that its tag names.
	errEncoding = errors.New("the value is not base64, as its tag file-encoding says")
)

// tagEncoding is what `az keyvault secret set --encoding base64` marks bytes with, and so do we.
const tagEncoding = "file-encoding"

func read(got *azsecrets.Secret, current bool) (secret.Value, secret.Version, error) {
	id, err := parseVersion(got.ID)
	if err != nil || got.Value == nil {
		return secret.Value{}, secret.Version{}, errHalf
	}
	v := secret.Version{ID: id, Created: created(got.Attributes), Current: current}
	if encoding := got.Tags[tagEncoding]; encoding == nil || *encoding != "base64" {
		return secret.NewValue([]byte(*got.Value)), v, nil
	}
	decoded, err := base64.StdEncoding.DecodeString(*got.Value)
	if err != nil {
		return secret.Value{}, secret.Version{}, errEncoding
	}
	return secret.NewValue(decoded), v, nil
}

func created(a *azsecrets.SecretAttributes) time.Time {
	if a == nil || a.Created == nil {
		return time.Time{}
	}
	return a.Created.UTC()
}

// operate gives do the name that path stands for, and the time limit.
func (s *Store) operate(ctx context.Context, path string, do func(ctx context.Context, name string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := encode(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	return do(ctx, name)
}

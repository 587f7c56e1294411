// Package awssm is the store in AWS Secrets Manager.
//
// A path is a secret's name or ARN; a version is a VersionId or a staging label (AWSCURRENT, AWSPENDING, AWSPREVIOUS or
// one's own). It is a secret.Store, secret.Writer, secret.Lister, secret.Batcher and secret.CheckAndSetter. It is not a
// cache: every Get asks the service. Values that are text are kept as SecretString, others as SecretBinary.
//
// Invariant: no error carries what the service or an identity provider wrote in a response, beyond the error's code; no
// redirect is followed; requests go out signed, to the configured endpoint or the service's own.
package awssm

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// The staging label of the current version.
const stageCurrent = "AWSCURRENT"

// DefaultTimeout bounds a call whose context does not end earlier.
const DefaultTimeout = 10 * time.Second

// Options say which Secrets Manager, and as whom. The zero value is the environment's: AWS_REGION and the default
// chain.
type Options struct {
	Region string // such as eu-central-1; "" is AWS_REGION's, or the profile's
	// of a VPC endpoint or an emulator; "" is the region's own. https, or http on loopback
	Endpoint   string
	Profile    string     // in the shared configuration files; "" is AWS_PROFILE's
	AssumeRole AssumeRole // the role to take on with what the chain finds
	// instead of the default chain (environment, files, web identity, SSO, ECS, EC2)
	Credentials aws.CredentialsProvider

	CAPool *x509.CertPool // certificates to trust instead of the system's; nil is the system's, or AWS_CA_BUNDLE

	// RecoveryDays is how long Delete keeps a secret restorable: 7 to 30 days; 0 is 30, the service's own default.
	// DeleteNow makes Delete final instead: nobody can bring the secret back.
	RecoveryDays int
	DeleteNow    bool

	Timeout    time.Duration // of one operation; 0 is DefaultTimeout
	RetryDelay time.Duration // before the first of three retries, doubling; 0 is 200 ms
}

// AssumeRole names a role. The zero value is none.
type AssumeRole struct {
	ARN        string // arn:aws:iam::<account>:role/<name>
	ExternalID string // what the role's trust policy asks for; "" is none
	Session    string // the session's name in CloudTrail; "" is sallyport
	Endpoint   string // of STS, where it is not the region's own
}

// Store reads and writes secrets in AWS Secrets Manager. It is safe for concurrent use.
type Store struct {
	options Options

	mu     sync.Mutex
	client *secretsmanager.Client // nil until first used, and after its credentials have expired
	region string
}

// New checks o and contacts nobody; configuration files and the environment are read at the first call.
func New(o Options) (*Store, error) {
	for name, endpoint := range map[string]string{
		"endpoint":                o.Endpoint,
		"endpoint of assume_role": o.AssumeRole.Endpoint,
	} {
		if err := checkEndpoint(name, endpoint); err != nil {
			return nil, fmt.Errorf("setting up awssm: %w", err)
		}
	}
	switch {
	case o.DeleteNow && o.RecoveryDays != 0:
		return nil, errors.New("setting up awssm: a deletion is either final or has a recovery window")
	case o.RecoveryDays != 0 && (o.RecoveryDays < 7 || o.RecoveryDays > 30):
		return nil, fmt.Errorf("setting up awssm: the recovery window is 7 to 30 days, not %d", o.RecoveryDays)
	case o.AssumeRole.ARN == "" && o.AssumeRole != AssumeRole{}:
		return nil, fault.WithHint(errors.New("setting up awssm: assume_role has no arn"),
			"set `assume_role.arn` to arn:aws:iam::<account>:role/<name>")
	case o.AssumeRole.ARN != "" && !isRole(o.AssumeRole.ARN):
		return nil, fault.WithHint(fmt.Errorf("setting up awssm: %q is not the ARN of a role", o.AssumeRole.ARN),
			"it looks like arn:aws:iam::123456789012:role/sallyport")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = 200 * time.Millisecond
	}
	return &Store{options: o}, nil
}

// Get implements secret.Store. A version of 32 to 64 characters is a VersionId, any other a staging label.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	var value secret.Value
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, c client) (err error) {
		value, v, err = c.get(ctx, path, version)
		return err
	})
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed(ctx, "reading", path, err)
	}
	return value, v, nil
}

func (c client) get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &path}
	switch {
	case version == "":
	case isVersionID(version):
		in.VersionId = &version
	default:
		in.VersionStage = &version
	}
	out, err := c.GetSecretValue(ctx, in, c.inRegion)
	if err != nil {
		return secret.Value{}, secret.Version{}, c.sort(ctx, path, version, err)
	}
	return read(held{
		binary: out.SecretBinary, text: out.SecretString, id: out.VersionId, created: out.CreatedDate,
		stages: out.VersionStages,
	})
}

// sort tells a missing version from a missing secret: the service answers both with one code.
func (c client) sort(ctx context.Context, path, version string, err error) error {
	switch {
	case isDeleted(err):
		return fault.WithHint(fmt.Errorf("%w: it is scheduled for deletion", secret.ErrNotFound),
			fmt.Sprintf("`aws secretsmanager restore-secret --secret-id %s` brings it back", path))
	case version == "" || !isCode(err, "ResourceNotFoundException", "InvalidParameterException", "ValidationException"):
		return err
	}
	out, described := c.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &path}, c.inRegion)
	switch {
	case described == nil && out.DeletedDate != nil, isCode(described, "ResourceNotFoundException"):
		return secret.ErrNotFound
	case described == nil, messageHas(err, "staging label", "ersion"):
		return fault.WithHint(secret.ErrVersionGone,
			fmt.Sprintf("`aws secretsmanager list-secret-version-ids --include-deprecated --secret-id %s` shows what "+
				"there is", path))
	}
	return err
}

// held is a version as the different answers have it.
type held struct {
	binary  []byte
	text    *string
	id      *string
	created *time.Time
	stages  []string
}

// errHalf is an answer that lacks what every whole one has.
var errHalf = errors.New("the response is not whole")

func read(h held) (secret.Value, secret.Version, error) {
	if h.id == nil || *h.id == "" || (h.text == nil && h.binary == nil) {
		return secret.Value{}, secret.Version{}, errHalf
	}
	v := secret.Version{
		ID: *h.id, Created: aws.ToTime(h.created).UTC(),
		Current: slices.Contains(h.stages, stageCurrent),
	}
	if h.text != nil {
		return secret.NewValue([]byte(*h.text)), v, nil
	}
	return secret.NewValue(h.binary), v, nil
}

// operate checks path and calls do within the time limit; once more, with credentials read afresh, when those it had
// have expired: files and token files are replaced under a running process.
func (s *Store) operate(ctx context.Context, path string, do func(context.Context, client) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkName(path); err != nil {
		return err
	}
	return s.call(ctx, regionOf(path), do)
}

func (s *Store) call(ctx context.Context, region string, do func(context.Context, client) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	for again := false; ; again = true {
		c, err := s.use(ctx, region)
		if err != nil {
			return err
		}
		if err = do(ctx, c); again || !isExpired(err) {
			return err
		}
		s.forget(c)
	}
}

// isVersionID tells a VersionId, which is a ClientRequestToken, from a staging label.
func isVersionID(version string) bool {
	return len(version) >= 32 && len(version) <= 64 && !strings.ContainsAny(version, " /")
}

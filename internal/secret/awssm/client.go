package awssm

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"sallyport/internal/fault"
)

const (
	attempts  = 4
	maxAnswer = 16 << 20  // bytes of one answer: twenty values of 64 KiB in base64 are two mebibytes
	maxHead   = 256 << 10 // bytes of the head of one
)

// client is the SDK's client, for secrets of one region.
type client struct {
	*secretsmanager.Client
	region string // "" is the client's own
}

func (c client) inRegion(o *secretsmanager.Options) { o.Region = cmp.Or(c.region, o.Region) }

// use returns the client, made when there is none.
func (s *Store) use(ctx context.Context, region string) (client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		cfg, err := s.configure(ctx)
		if err != nil {
			return client{}, err
		}
		s.region = cfg.Region
		s.client = secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) {
			if s.options.Endpoint != "" {
				o.BaseEndpoint = &s.options.Endpoint
			}
		})
	}
	if s.region == "" && region == "" {
		return client{}, fault.WithHint(errSetup, "no region is known: set `region` of the store, or AWS_REGION")
	}
	return client{Client: s.client, region: region}, nil
}

// forget drops a client whose credentials have expired, unless someone has already.
func (s *Store) forget(c client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == c.Client {
		s.client = nil
	}
}

// errSetup is the machine's AWS configuration not being usable.
var errSetup = errors.New("the AWS configuration cannot be used")

// configure reads environment and files; it does not reach for the network.
func (s *Store) configure(ctx context.Context) (aws.Config, error) {
	o := s.options
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(o.Region),
		config.WithSharedConfigProfile(o.Profile),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(s.trust)),
		config.WithRetryer(s.retryer),
	)
	if err != nil {
		return aws.Config{}, fault.WithHint(errSetup,
			"check `profile` of the store, AWS_PROFILE and AWS_CA_BUNDLE against ~/.aws/config and ~/.aws/credentials")
	}
	if o.Credentials != nil {
		cfg.Credentials = aws.NewCredentialsCache(o.Credentials)
	}
	cfg.HTTPClient = plain(cfg.HTTPClient)
	if o.AssumeRole.ARN != "" {
		cfg.Credentials = assume(cfg, o.AssumeRole)
	}
	cfg.Credentials = named{cfg.Credentials}
	return cfg, nil
}

func (s *Store) trust(t *http.Transport) {
	t.MaxResponseHeaderBytes = maxHead
	if s.options.CAPool != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: s.options.CAPool, MinVersion: tls.VersionTLS12}
	}
}

func assume(cfg aws.Config, role AssumeRole) aws.CredentialsProvider {
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // STS answers for the role's account in any region
	}
	provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg, func(o *sts.Options) {
		if role.Endpoint != "" {
			o.BaseEndpoint = &role.Endpoint
		}
	}), role.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = cmp.Or(role.Session, "sallyport")
		if role.ExternalID != "" {
			o.ExternalID = &role.ExternalID
		}
	})
	return aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = time.Minute })
}

// named marks what goes wrong in finding credentials, so that it is told apart from what the store answers.
type named struct{ aws.CredentialsProvider }

func (n named) Retrieve(ctx context.Context) (aws.Credentials, error) {
	keys, err := n.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &keysError{err}
	}
	return keys, nil
}

type keysError struct{ error }

func (k *keysError) Unwrap() error { return k.error }

// retryer tries what is worth trying again a few times, the waits doubling, half of each at random.
func (s *Store) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = attempts
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return backoff(s.options.RetryDelay, attempt), nil
		})
	})
}

func backoff(first time.Duration, attempt int) time.Duration {
	full := first << min(max(attempt-1, 0), 10)
	return full/2 + rand.N(full/2+1) //nolint:gosec // jitter, not a secret
}

// plain is the SDK's transport in a client that follows no redirect and reads no endless answer.
func plain(c aws.HTTPClient) *http.Client {
	transport := http.RoundTripper(awshttp.NewBuildableClient().GetTransport())
	if b, ok := c.(*awshttp.BuildableClient); ok {
		transport = b.GetTransport()
	}
	return &http.Client{
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

package gcpsm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	grpccredentials "google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	attempts  = 4
	maxAnswer = 16 << 20 // bytes
	maxToken  = 1 << 20  // bytes of an identity provider's answer
)

// dial makes the connection, which connects when it is first used.
func dial(at endpoint, pool *x509.CertPool) (*grpc.ClientConn, error) {
	transport := grpccredentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if at.plain {
		transport = insecure.NewCredentials()
	}
	return grpc.NewClient(at.address,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithDisableServiceConfig(), // which DNS could send
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2,
				MaxDelay: 5 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
}

// use returns the SDK's client on the connection.
func (s *Store) use(ctx context.Context) (*secretmanager.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		client, err := secretmanager.NewClient(context.WithoutCancel(ctx), option.WithGRPCConn(s.conn))
		if err != nil {
			return nil, err
		}
		client.CallOptions = s.callOptions()
		s.client = client
	}
	return s.client, nil
}

// callOptions say what is tried again. Adding a version is not, unless it was surely refused: the first try may have
// been heard, and there would be two.
func (s *Store) callOptions() *secretmanager.CallOptions {
	again := s.retrying(codes.Unavailable, codes.ResourceExhausted)
	return &secretmanager.CallOptions{
		ListSecrets: again, ListSecretVersions: again, AccessSecretVersion: again, CreateSecret: again,
		DestroySecretVersion: again,
		AddSecretVersion:     s.retrying(codes.ResourceExhausted),
	}
}

func (s *Store) retrying(on ...codes.Code) []gax.CallOption {
	return []gax.CallOption{gax.WithRetry(func() gax.Retryer {
		return &retryer{left: attempts - 1, on: on, backoff: gax.Backoff{
			Initial: s.options.RetryDelay,
			Max:     2 * time.Second, Multiplier: 2,
		}}
	})}
}

// retryer tries again a few times; the SDK's own would until the context ends.
type retryer struct {
	left    int
	on      []codes.Code
	backoff gax.Backoff
}

func (r *retryer) Retry(err error) (time.Duration, bool) {
	if r.left == 0 || !slices.Contains(r.on, status.Code(err)) {
		return 0, false
	}
	r.left--
	return r.backoff.Pause(), true
}

// call makes one call of the service, named method, with a token; and once more with another token when that one is
// refused.
func (s *Store) call(ctx context.Context, method string, do func(context.Context, *secretmanager.Client) error) error {
	client, err := s.use(ctx)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		authorised, token, err := s.tokens.onto(ctx)
		if err == nil {
			err = do(authorised, client)
		}
		if err == nil {
			return nil
		}
		if again || !s.tokens.forget(token, err) {
			return &callError{method: method, error: err}
		}
	}
}

// callError is what a call ended with.
type callError struct {
	error
	method string
}

func (c *callError) Unwrap() error { return c.error }

// tokens finds credentials when they are first needed, and again when what they gave is refused. The nil one has none
// to send.
type tokens struct {
	given auth.TokenProvider

	mu    sync.Mutex
	found *auth.Credentials
}

func newTokens(given auth.TokenProvider) *tokens { return &tokens{given: given} }

// onto returns ctx with a token for the service.
func (t *tokens) onto(ctx context.Context) (context.Context, *auth.Credentials, error) {
	if t == nil {
		return ctx, nil, nil
	}
	found, err := t.find()
	if err != nil {
		return nil, nil, &tokenError{err}
	}
	token, err := found.Token(ctx)
	if err != nil {
		return nil, nil, &tokenError{err}
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token.Value)
	if quota, err := found.QuotaProjectID(ctx); err == nil && quota != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-goog-user-project", quota)
	}
	return ctx, found, nil
}

func (t *tokens) find() (*auth.Credentials, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.found != nil {
		return t.found, nil
	}
	if t.given != nil {
		t.found = auth.NewCredentials(&auth.CredentialsOptions{
			TokenProvider: auth.NewCachedTokenProvider(t.given, nil),
		})
		return t.found, nil
	}
	found, err := credentials.DetectDefault(&credentials.DetectOptions{
		Scopes: secretmanager.DefaultAuthScopes(),
		Client: identity(),
	})
	if err != nil {
		return nil, err
	}
	t.found = found
	return found, nil
}

// identity is the client that tokens are asked for with. The SDK's own follows redirects with what it signed, and reads
// an answer whole however long it is.
func identity() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck,forbidigo,forcetypeassert // a copy; nobody replaces it
	transport.MaxResponseHeaderBytes = 256 << 10
	return &http.Client{
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxToken), resp.Body}
	return resp, nil
}

// forget drops the credentials whose token was refused, and tells whether there is reason to try others: files are
// replaced under a running process.
func (t *tokens) forget(refused *auth.Credentials, err error) bool {
	if t == nil || refused == nil || status.Code(err) != codes.Unauthenticated {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.found == refused {
		t.found = nil
	}
	return true
}

// tokenError is there being no token, told apart from what the service answers.
type tokenError struct{ error }

func (t *tokenError) Unwrap() error { return t.error }

// Package gcpsm is the store in Google Secret Manager.
//
// A path is a secret's id in the project, or a whole resource name; see encode for paths that are no ids. A version is
// a number or an alias. It is a secret.Store, secret.Writer and secret.Lister. It is not a cache: every Get asks the
// service. Secret Manager has no check-and-set for versions: of two writers at once both add one, and the later one is
// current.
//
// Invariant: no error carries what the service or an identity provider wrote in a response, beyond the status code;
// tokens go over TLS to the configured endpoint and nowhere else; a value whose checksum does not fit is not handed
// out.
package gcpsm

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// DefaultTimeout bounds an operation whose context does not end earlier.
const DefaultTimeout = 10 * time.Second

// Options say which project, and as whom.
type Options struct {
	// Project is the id or number of the project; it may be empty when every path is a whole resource name.
	Project string
	// Endpoint is host[:port]; "" is the global one. Of secretmanager.<location>.rep.googleapis.com, a regional one,
	// the secrets are the location's. http:// on loopback is an emulator: without TLS, and no token is sent.
	Endpoint string

	// Tokens are used instead of the application default credentials.
	Tokens auth.TokenProvider
	CAPool *x509.CertPool // certificates to trust instead of the system's

	Timeout    time.Duration // of one operation; 0 is DefaultTimeout
	RetryDelay time.Duration // before the first of three retries, growing; 0 is 200 ms
}

// Store reads and writes the secrets of a project. It is safe for concurrent use; Close ends its connection.
type Store struct {
	options Options
	parent  string // of the secrets: projects/<project>[/locations/<location>]
	tokens  *tokens
	conn    *grpc.ClientConn

	mu     sync.Mutex
	client *secretmanager.Client // nil until first used
}

// New checks o and contacts nobody.
func New(o Options) (*Store, error) {
	at, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("setting up gcpsm: %w", err)
	}
	if o.Project != "" && !isProject(o.Project) {
		return nil, fault.WithHint(fmt.Errorf("setting up gcpsm: %q is not the id of a project", o.Project),
			"set `project` to an id such as corp-prod")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = 200 * time.Millisecond
	}
	s := &Store{options: o, parent: "projects/" + o.Project}
	if at.location != "" {
		s.parent += "/locations/" + at.location
	}
	if !at.plain {
		s.tokens = newTokens(o.Tokens)
	}
	if s.conn, err = dial(at, o.CAPool); err != nil {
		return nil, fmt.Errorf("setting up gcpsm: the endpoint %q cannot be used", o.Endpoint)
	}
	return s, nil
}

// Close ends the connection. No method works afterwards.
func (s *Store) Close() error { return s.conn.Close() }

// Get implements secret.Store. The current version is the one added last; when it is disabled there is none to read.
// The service does not tell those who may only read when a version was made: Created is zero.
func (s *Store) Get(ctx context.Context, path, version string) (secret.Value, secret.Version, error) {
	var value secret.Value
	var v secret.Version
	err := s.operate(ctx, path, func(ctx context.Context, r resource) (err error) {
		value, v, err = s.get(ctx, r, version)
		return err
	})
	if err != nil {
		return secret.Value{}, secret.Version{}, s.failed(ctx, "reading", path, err)
	}
	return value, v, nil
}

func (s *Store) get(ctx context.Context, r resource, version string) (secret.Value, secret.Version, error) {
	if version == "" {
		value, id, err := s.access(ctx, r, latest)
		if err != nil {
			return secret.Value{}, secret.Version{}, s.sort(ctx, r, latest, err)
		}
		return value, secret.Version{ID: id, Current: true}, nil
	}
	if !isVersion(version) {
		return secret.Value{}, secret.Version{}, s.sort(ctx, r, version, errNoVersion)
	}
	value, id, err := s.access(ctx, r, version)
	if err != nil {
		return secret.Value{}, secret.Version{}, s.sort(ctx, r, version, err)
	}
	// What was just readable is current exactly if it is the latest; a latest that cannot be read is another one.
	_, last, err := s.access(ctx, r, latest)
	if err != nil && !isCode(err, codes.FailedPrecondition, codes.NotFound) {
		return secret.Value{}, secret.Version{}, err
	}
	return value, secret.Version{ID: id, Current: id == last}, nil
}

const latest = "latest"

// errHalf is an answer that lacks what every whole one has, or came damaged.
var errHalf = errors.New("the response is not whole")

// access reads a version and returns its number.
func (s *Store) access(ctx context.Context, r resource, version string) (value secret.Value, id string, err error) {
	var out *secretmanagerpb.AccessSecretVersionResponse
	err = s.call(ctx, "AccessSecretVersion", func(ctx context.Context, c *secretmanager.Client) (err error) {
		out, err = c.AccessSecretVersion(ctx,
			&secretmanagerpb.AccessSecretVersionRequest{Name: r.name() + "/versions/" + version})
		return err
	})
	if err != nil {
		return secret.Value{}, "", err
	}
	id, ok := numberOf(out.GetName())
	payload := out.GetPayload()
	if !ok || payload == nil {
		return secret.Value{}, "", errHalf
	}
	if payload.DataCrc32C != nil && *payload.DataCrc32C != checksum(payload.GetData()) {
		return secret.Value{}, "", fmt.Errorf("%w: the checksum does not fit", errHalf)
	}
	return secret.NewValue(payload.GetData()), id, nil
}

// checksum is CRC32C (Castagnoli) as the API has it, in an int64.
func checksum(b []byte) int64 {
	return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// numberOf is the last part of …/versions/<number>.
func numberOf(name string) (string, bool) {
	_, id, ok := strings.Cut(name, "/versions/")
	return id, ok && isNumber(id)
}

func isNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}

// sort tells what err, from an access to version, means: a secret that is not there, or a version of it. Both are one
// code to the service, and a secret whose versions are all destroyed is none to us.
func (s *Store) sort(ctx context.Context, r resource, version string, err error) error {
	absent := errors.Is(err, errNoVersion) || isCode(err, codes.NotFound)
	switch {
	case absent && version == latest:
		return secret.ErrNotFound
	case !absent && !isCode(err, codes.FailedPrecondition):
		return err
	}
	held, listed := s.versions(ctx, r)
	switch {
	case isCode(listed, codes.NotFound), listed == nil && !anyAlive(held):
		return secret.ErrNotFound
	case isCode(listed, codes.PermissionDenied) && absent: // who may only read can still see whether there is anything
		if _, _, err := s.access(ctx, r, latest); isCode(err, codes.NotFound) {
			return secret.ErrNotFound
		}
	case listed != nil && !isCode(listed, codes.PermissionDenied):
		return listed
	}
	return s.gone(r, version, held)
}

// gone says why a version cannot be read, as far as that is known.
func (s *Store) gone(r resource, version string, held []version) error {
	where := fmt.Sprintf("--secret=%s --project=%s", r.id, r.project())
	for i, v := range held {
		if v.ID != version && (version != latest || i > 0) {
			continue
		}
		if v.destroyed {
			return fault.WithHint(fmt.Errorf("%w: version %s is destroyed", secret.ErrVersionGone, v.ID),
				"write the secret again, or roll back to a version that is left")
		}
		return fault.WithHint(fmt.Errorf("%w: version %s is disabled", secret.ErrVersionGone, v.ID),
			fmt.Sprintf("`gcloud secrets versions enable %s %s` enables it again", v.ID, where))
	}
	return fault.WithHint(secret.ErrVersionGone, "`gcloud secrets versions list "+r.id+" --project="+r.project()+
		"` shows which there are, and whether they are disabled or destroyed")
}

// operate gives do the resource that path stands for, and the time limit.
func (s *Store) operate(ctx context.Context, path string, do func(ctx context.Context, r resource) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := s.resource(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	return do(ctx, r)
}

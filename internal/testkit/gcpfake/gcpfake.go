// Package gcpfake is Google Secret Manager, as far as the store adapter uses it: the generated service over gRPC on
// loopback.
//
// It keeps to what the service documents: numbers that go upward within a secret and from 1 in a new one, the alias
// latest for the version added last whatever its state, FailedPrecondition for one that is disabled or destroyed and
// NotFound for what is not there, checksums, names with the project's number, pages, the size limit. It is for tests
// only.
package gcpfake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Project is the one there is; Number is how answers name it.
const (
	Project = "corp-test"
	Number  = "424242"
)

// MaxValue is the size of the largest value, in bytes.
const MaxValue = 65536

// Server is the fake. Set its fields before the first request.
type Server struct {
	secretmanagerpb.UnimplementedSecretManagerServiceServer

	Address string         // host:port, with TLS
	Pool    *x509.CertPool // has its certificate
	Token   string         // what it takes

	// AnySize lifts the size limit, for the conformance suite, whose largest value is a mebibyte.
	AnySize bool
	// NoChecksum leaves the checksum out of answers, and Damage changes a bit of each value.
	NoChecksum, Damage bool
	// DestroyLater is a secret's version_destroy_ttl: what is destroyed is disabled first.
	DestroyLater time.Duration
	// Answer, if it is not nil, is asked first about each call, by its method's name; what it returns, unless nil, is
	// the answer.
	Answer func(ctx context.Context, method string) error

	mu      sync.Mutex
	clock   time.Time
	secrets map[string]*entry // by projects/<id>[/locations/<l>]/secrets/<id>
	calls   []Call
	given   int
}

// Call is a call as it came.
type Call struct {
	Method string
	Header metadata.MD
	In     any
}

// New starts a fake that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Token: "token-1", secrets: make(map[string]*entry)}
	lender := httptest.NewUnstartedServer(nil) // of a certificate for loopback
	lender.StartTLS()
	certificate := lender.TLS.Certificates[0]
	s.Pool = x509.NewCertPool()
	s.Pool.AddCert(lender.Certificate())
	lender.Close()
	s.Address = s.serve(t,
		grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{certificate},
			MinVersion:   tls.VersionTLS12,
		})))
	return s
}

// Plain starts a fake without TLS, as emulators are, and returns its URL too.
func Plain(t testing.TB) (*Server, string) {
	s := &Server{clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), secrets: make(map[string]*entry)}
	s.Address = s.serve(t)
	return s, "http://" + s.Address
}

func (s *Server) serve(t testing.TB, options ...grpc.ServerOption) string {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(options, grpc.UnaryInterceptor(s.intercept))...)
	secretmanagerpb.RegisterSecretManagerServiceServer(server, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

// Provider implements auth.TokenProvider with the token that the fake takes at that moment.
func (s *Server) Provider() auth.TokenProvider { return provider{s} }

type provider struct{ *Server }

func (p provider) Token(context.Context) (*auth.Token, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given++
	return &auth.Token{Value: p.Server.Token, Expiry: time.Now().Add(time.Hour)}, nil
}

// Given is how many tokens were given out.
func (s *Server) Given() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// SetToken changes what the fake takes.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Token = token
}

// Calls returns what came so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// intercept records, authenticates and asks Answer; a call that is served has the lock.
func (s *Server) intercept(ctx context.Context, in any, info *grpc.UnaryServerInfo,
	handle grpc.UnaryHandler,
) (any, error) {
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	header, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	s.calls = append(s.calls, Call{Method: method, Header: header, In: in})
	token := s.Token
	s.mu.Unlock()
	if token != "" && (len(header["authorization"]) != 1 || header["authorization"][0] != "Bearer "+token) {
		return nil, status.Error(codes.Unauthenticated, "Request had invalid authentication credentials.")
	}
	if s.Answer != nil {
		if err := s.Answer(ctx, method); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return handle(ctx, in)
}

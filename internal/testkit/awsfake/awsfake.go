// Package awsfake is AWS Secrets Manager and the AssumeRole of STS, as far as the store adapter uses them, over HTTP on
// loopback.
//
// It keeps to what the services document: JSON 1.1 with X-Amz-Target, the error types, staging labels that move
// (AWSPREVIOUS follows AWSCURRENT), ClientRequestToken as VersionId and as what makes a repetition harmless, recovery
// windows, size limits, and requests signed with Signature Version 4, which it checks. It is for tests only.
package awsfake

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Region is where the fake is.
const Region = "eu-test-1"

const account = "123456789012"

// MaxValue is the size of the largest value, in bytes.
const MaxValue = 65536

// Server is the fake. Set its fields before the first request.
type Server struct {
	URL  string
	Keys aws.Credentials // what it takes; the zero Expires never ends

	// AnySize lifts the size limit, for the conformance suite, whose largest value is a mebibyte.
	AnySize bool
	// Answer, if it is not nil, is asked first about each request; it returns true when it has answered.
	Answer func(w http.ResponseWriter, r *http.Request, action string) bool
	// Allowed, if it is not nil, tells whether the policy allows an action on a secret ("" where there is none).
	Allowed func(action, name string) bool
	// Roles are what AssumeRole gives, by ARN, to those who name the external id.
	Roles map[string]Role

	mu      sync.Mutex
	clock   time.Time
	secrets map[string]*entry // by name
	calls   []Call
}

// Role is a role that may be assumed.
type Role struct {
	ExternalID string
	Keys       aws.Credentials
}

// Call is a request as it came.
type Call struct {
	Action string
	Form   map[string][]string // of STS
	Body   string
	Header http.Header
}

// New starts a fake that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{
		Keys: aws.Credentials{
			AccessKeyID:     "AKIATESTTESTTESTTEST",
			SecretAccessKey: "testtesttesttesttesttesttesttesttesttest",
		},
		clock:   time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		secrets: make(map[string]*entry),
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *Server) credentials() aws.Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Keys
}

// Calls returns what came so far.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Count tells how often action was called.
func (s *Server) Count(action string) int {
	n := 0
	for _, c := range s.Calls() {
		if c.Action == action {
			n++
		}
	}
	return n
}

// failure is an error as the services answer it.
type failure struct {
	status        int
	code, message string
}

func bad(code, format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...)}
}

// Fail answers with an error of the service.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-4000-8000-000000000000")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Message": message})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		s.serveSTS(w, r, body)
		return
	}
	action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	s.record(Call{Action: action, Body: string(body), Header: r.Header.Clone()})
	if s.Answer != nil && s.Answer(w, r, action) {
		return
	}
	out, failed := s.do(r, action, body)
	if failed != nil {
		Fail(w, failed.status, failed.code, failed.message)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = w.Write(out) //nolint:gosec // JSON, to an SDK
}

func (s *Server) record(c Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
}

// do answers in full while it has the lock.
func (s *Server) do(r *http.Request, action string, body []byte) ([]byte, *failure) {
	if failed := s.authenticate(r, "secretsmanager", body); failed != nil {
		return nil, failed
	}
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, bad("SerializationException", "")
	}
	actions := map[string]func(*request) (any, *failure){
		"GetSecretValue": s.get, "BatchGetSecretValue": s.batch, "PutSecretValue": s.put, "CreateSecret": s.create,
		"UpdateSecretVersionStage": s.move, "DescribeSecret": s.describe, "DeleteSecret": s.remove,
		"RestoreSecret": s.restore,
		"ListSecrets":   s.list, "ListSecretVersionIds": s.versions,
	}
	do, ok := actions[action]
	if !ok {
		return nil, bad("UnknownOperationException", "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := in.SecretID + in.Name
	if s.Allowed != nil && !s.Allowed(action, name) {
		return nil, denied(action, name)
	}
	out, failed := do(&in)
	if failed != nil {
		return nil, failed
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, &failure{status: http.StatusInternalServerError, code: "InternalServiceError"}
	}
	return text, nil
}

func denied(action, name string) *failure {
	return bad("AccessDeniedException",
		"User: arn:aws:sts::%s:assumed-role/test is not authorized to perform: secretsmanager:%s on resource: %s "+
			"because no identity-based policy allows it", account, action, name)
}

// ARN is that of the secret with this name.
func (s *Server) ARN(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[name].arn
}

// Apply does what r asks for without answering: the answer is lost on the way.
func (s *Server) Apply(r *http.Request, action, body string) { _, _ = s.do(r, action, []byte(body)) }

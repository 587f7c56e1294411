// Package nomadfake is the variables of a Nomad cluster, as far as the master key's installation uses them, on
// loopback.
//
// It keeps to what the API documents (developer.hashicorp.com/nomad/api-docs/variables/variables): tokens by header,
// namespaces, one index for every change, check-and-set with 409 and the variable in the answer, the limits on paths
// and sizes. It is for tests only.
package nomadfake

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// MaxItems is the size of all keys and values of a variable, in bytes.
const MaxItems = 64 << 10

// Variable is one as the API has it.
type Variable struct {
	Namespace, Path                                  string
	CreateIndex, ModifyIndex, CreateTime, ModifyTime uint64
	Items                                            map[string]string
}

// Server is the fake. Set its fields before the first request.
type Server struct {
	URL   string
	Token string // that may do everything; "" is a cluster without access control

	// Before, if it is not nil, is called with each request before it is answered; it may call Set.
	Before func(r *http.Request)
	// Status, if it is not 0, is the answer to everything.
	Status int

	mu        sync.Mutex
	index     uint64
	variables map[[2]string]Variable // by namespace and path
	requests  []string
}

// New starts a fake that ends with the test.
func New(t testing.TB) *Server {
	s := &Server{index: 100, variables: make(map[[2]string]Variable)}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Set writes a variable as someone else would.
func (s *Server) Set(namespace, path string, items map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(namespace, path, items)
}

func (s *Server) set(namespace, path string, items map[string]string) Variable {
	s.index++
	at := [2]string{namespace, path}
	v := s.variables[at]
	if v.CreateIndex == 0 {
		v = Variable{Namespace: namespace, Path: path, CreateIndex: s.index, CreateTime: s.index}
	}
	v.ModifyIndex, v.ModifyTime, v.Items = s.index, s.index, maps.Clone(items)
	s.variables[at] = v
	return v
}

// Items are those of a variable, nil when there is none.
func (s *Server) Items(namespace, path string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.variables[[2]string{namespace, path}].Items)
}

// Requests are the method and the target of every request.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

var allowed = regexp.MustCompile(`^[a-zA-Z0-9-_~/]{1,128}$`)

// ServeHTTP answers as Nomad's agent does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Before != nil {
		s.Before(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.String())
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/var/")
	namespace := r.URL.Query().Get("namespace")
	if namespace == "" {
		namespace = "default"
	}
	switch {
	case s.Status != 0:
		http.Error(w, "as told", s.Status)
	case !ok:
		http.NotFound(w, r)
	case s.Token != "" && r.Header.Get("X-Nomad-Token") != s.Token:
		http.Error(w, "Permission denied", http.StatusForbidden)
	case r.Method == http.MethodGet:
		if v, found := s.variables[[2]string{namespace, path}]; found {
			answer(w, http.StatusOK, v)
			return
		}
		http.Error(w, "variable not found", http.StatusNotFound)
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		s.put(w, r, namespace, path)
	default:
		http.Error(w, "Invalid method", http.StatusMethodNotAllowed)
	}
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, namespace, path string) {
	var body Variable
	size := 0
	err := json.NewDecoder(r.Body).Decode(&body)
	for name, value := range body.Items {
		size += len(name) + len(value)
	}
	held := s.variables[[2]string{namespace, path}]
	cas, errCAS := strconv.ParseUint(r.URL.Query().Get("cas"), 10, 64)
	switch {
	case err != nil || !allowed.MatchString(path) || len(body.Items) == 0 || size > MaxItems:
		http.Error(w, "invalid variable", http.StatusBadRequest)
	case body.Path != "" && body.Path != path:
		http.Error(w, "Variable path does not match request path", http.StatusBadRequest)
	case r.URL.Query().Has("cas") && (errCAS != nil || cas != held.ModifyIndex):
		answer(w, http.StatusConflict, held)
	default:
		answer(w, http.StatusOK, s.set(namespace, path, body.Items))
	}
}

func answer(w http.ResponseWriter, status int, v Variable) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is its own problem
}

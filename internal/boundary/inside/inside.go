// Package inside makes calls of the gate's own: those of a rotation's driver, and those that prove a new value.
//
// A call takes the same way as any caller's: the pipeline decides, records, injects and scrubs. What is different is
// who may make it: no proxy token is issued, since there is no client that could present one; a token that lives for
// one call stands in its place, is known to this one pipeline alone, and may call this one service.
//
// Invariant: no credential is on a call that is not on record, and the record names who made it.
package inside

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sallyport/internal/audit"
	"sallyport/internal/boundary"
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
	"sallyport/internal/fault"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 8 << 20

// Caller makes calls. It is safe for concurrent use.
type Caller struct {
	Services *service.Table
	Audit    boundary.Audit
	Log      *slog.Logger
	Now      func() time.Time

	// who calls, for the record: the label of a token, the workflow, the execution and the node
	Label, Workflow, Execution, Node string
	// the methods that the call may have, by any way of naming one; empty is all
	Methods []string
}

// Error tells that there is no answer of the API: the gate did not let the call out, or could not finish it.
type Error struct {
	Code    fault.Code
	Message string
	Sent    bool // the API may have got the call

	hint string
}

// Error implements error.
func (e *Error) Error() string { return e.Message + " (" + string(e.Code) + ")" }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// Do makes one call: req.URL has the path below the service's base path, and the query. The error is an *Error, or
// about req itself. Redirects are not followed. The whole answer is in memory.
func (c *Caller) Do(ctx context.Context, name string, req *http.Request) (*http.Response, error) {
	presented := "spt_" + rand.Text() + rand.Text() // random is all that it has to be
	tokens := &one{token: presented, grant: token.Grant{ID: c.Label, Name: c.Label, Created: c.Now()}}
	told := &recorded{Audit: c.Audit}
	p := boundary.New(boundary.Options{Tokens: tokens, Audit: told, Observer: nobody{}, Log: c.Log, Now: c.Now})
	p.Route(boundary.Configuration{
		Services: c.Services,
		Scopes:   token.NewScopes(map[string]token.Scope{c.Label: {Services: []string{name}, Methods: c.Methods}}),
	})
	r := c.incoming(ctx, req, presented)
	v := &boundary.View{
		Method: r.Method, Service: name, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery,
		Header: boundary.NetHTTP(r.Header), Source: netip.IPv6Loopback(), Mount: "/s/" + name,
	}
	if v.Path == "" {
		v.Path, v.Bare = "/", true
	}
	w := &answer{header: make(http.Header)}
	if err := handle(p, w, r, v); err != nil {
		return nil, told.failure(name, w, err)
	}
	if w.status == 0 || w.tooLarge || w.own() {
		return nil, told.failure(name, w, nil)
	}
	return w.response(req), nil
}

// incoming is req as a server has it.
func (c *Caller) incoming(ctx context.Context, req *http.Request, presented string) *http.Request {
	r := req.Clone(ctx)
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Body == nil || r.Body == http.NoBody {
		r.Body, r.ContentLength = nil, 0
	} else if r.ContentLength == 0 {
		r.ContentLength = -1
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	r.Header.Set(boundary.HeaderToken, presented)
	r.Header.Set(boundary.HeaderWorkflow, c.Workflow)
	r.Header.Set(boundary.HeaderExecution, c.Execution)
	r.Header.Set(boundary.HeaderNode, c.Node)
	return r
}

// errBrokenOff is what becomes of an answer that ends short.
var errBrokenOff = errors.New("the answer ended before it was complete")

// handle is the pipeline, whose way to break an answer off is a panic.
func handle(p *boundary.Pipeline, w http.ResponseWriter, r *http.Request, v *boundary.View) (err error) {
	defer func() {
		switch e := recover(); e {
		case nil:
		case http.ErrAbortHandler:
			err = errBrokenOff
		default:
			panic(e)
		}
	}()
	p.Handle(w, r, v)
	return nil
}

// one is the registry of one token.
type one struct {
	token string
	grant token.Grant
}

// Verify implements boundary.Tokens.
func (o *one) Verify(presented string) (*token.Grant, *fault.Fault) {
	if subtle.ConstantTimeCompare([]byte(presented), []byte(o.token)) != 1 {
		return nil, fault.New(fault.TokenInvalid, "it is not the token of this call")
	}
	return &o.grant, nil
}

// Touch implements boundary.Tokens.
func (*one) Touch(*token.Grant, string, time.Time) {}

// nobody counts nothing: metrics are about callers.
type nobody struct{}

func (nobody) Started(string)             {}
func (nobody) Finished(*boundary.Outcome) {}
func (nobody) Panicked()                  {}

// recorded is the audit log, and remembers how the call ended.
type recorded struct {
	boundary.Audit

	mu   sync.Mutex
	last audit.Event
	sent bool
}

// Authorise implements boundary.Audit.
func (r *recorded) Authorise(ctx context.Context, ev *audit.Event) error {
	err := r.Audit.Authorise(ctx, ev)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = r.sent || err == nil
	return err
}

// Complete implements boundary.Audit.
func (r *recorded) Complete(ev *audit.Event) {
	r.note(ev)
	r.Audit.Complete(ev)
}

// Refuse implements boundary.Audit.
func (r *recorded) Refuse(ev *audit.Event) {
	r.note(ev)
	r.Audit.Refuse(ev)
}

func (r *recorded) note(ev *audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = *ev
}

func (r *recorded) failure(name string, w *answer, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &Error{Code: fault.Code(r.last.Code), Message: r.last.Detail, Sent: r.sent}
	var own struct{ Message, Hint string }
	if json.Unmarshal(w.body.Bytes(), &own) == nil && own.Message != "" && r.last.Code != "" {
		e.Message, e.hint = own.Message, own.Hint
	}
	switch {
	case w.tooLarge:
		e.Code, e.Message = fault.UpstreamTruncated, fmt.Sprintf("the answer has more than %d bytes", maxAnswer)
	case e.Message == "" && err != nil:
		e.Message = err.Error()
	}
	if e.Code == "" {
		e.Code = fault.Internal
	}
	e.Message = fmt.Sprintf("calling service %q: %s", name, e.Message)
	return e
}

// answer is a response in memory. It implements http.ResponseWriter.
type answer struct {
	header   http.Header
	status   int
	sent     http.Header // as it was when the status was written
	body     bytes.Buffer
	tooLarge bool
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(p) > maxAnswer {
		a.tooLarge = true
		return 0, errBrokenOff
	}
	return a.body.Write(p)
}

// own tells whether the gate itself has answered. An API cannot forge that: what it sends of the header is removed.
func (a *answer) own() bool { return strings.Contains(a.sent.Get("Proxy-Status"), "; error=") }

func (a *answer) response(req *http.Request) *http.Response {
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: a.sent, Request: req,
		Body: io.NopCloser(bytes.NewReader(a.body.Bytes())), ContentLength: int64(a.body.Len()),
	}
}

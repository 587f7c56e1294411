package tokenserver

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/pause"
)

// Misbehaviour is one way of going wrong.
type Misbehaviour int

// The misbehaviours. "After" means that the server has done what it was asked to before it goes wrong.
const (
	Well         Misbehaviour = iota // none
	Unreachable                      // the connection is refused; without a network only
	Filtered                         // there is never a connection; without a network only
	Reset                            // the connection ends before anything was done
	LostAnswer                       // the connection ends, after
	Hang                             // nothing comes until the caller leaves
	Slow                             // the answer comes Delay later, after
	Garbage                          // bytes that are no JSON, after
	HTML                             // a page, after
	Huge                             // more than 1 MiB, after
	Error500                         // after
	Error502                         // after
	Error503                         // with Retry-After: 7, before
	Error429                         // with Retry-After: 7, before
	Redirect                         // to another host, before
	CRLFToken                        // after
	EmptyToken                       // after
	NumberToken                      // after
	NoToken                          // after
	NoLifetime                       // the token's lifetime is not told
	TextLifetime                     // it is a string
	ZeroLifetime                     // it is 0
	LongLifetime                     // it is ten years
	WrongDate                        // the Date is two days off
)

// Misbehave plans what becomes of the next calls to an endpoint that gives tokens, one each.
func (s *Server) Misbehave(plan ...Misbehaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned = append(s.planned, plan...)
}

// Behave drops what is still planned.
func (s *Server) Behave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.planned = nil
}

// before goes wrong before anything is done; it tells whether that was all.
func (m Misbehaviour) before(s *Server, w http.ResponseWriter, r *http.Request) (done bool) {
	switch m { //nolint:exhaustive // the rest goes wrong later
	case Reset:
		panic(http.ErrAbortHandler)
	case Hang:
		_, _ = io.Copy(io.Discard, r.Body) // net/http sees that the caller has left only when the body is read
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case Error503, Error429:
		w.Header().Set("Retry-After", "7")
		answerJSON(w, refuse(map[Misbehaviour]int{Error503: 503, Error429: 429}[m], "temporarily_unavailable"))
		return true
	case Redirect:
		w.Header().Set("Location", "https://elsewhere.test/token")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return true
	case WrongDate:
		w.Header().Set("Date", s.now().Add(48*time.Hour).UTC().Format(http.TimeFormat))
	}
	return false
}

// after goes wrong with the answer that has been made.
func (m Misbehaviour) after(s *Server, w http.ResponseWriter, r *http.Request, res *result) (done bool) {
	switch m {
	case LostAnswer:
		panic(http.ErrAbortHandler)
	case Slow:
		if pause.For(r.Context(), s.Delay) != nil {
			panic(http.ErrAbortHandler)
		}
	case Garbage:
		return write(w, http.StatusOK, "application/json", "\x00{\"access_token\":")
	case HTML:
		return write(w, http.StatusOK, "text/html", "<!doctype html><title>Sign in</title>")
	case Huge:
		return write(w, http.StatusOK, "application/json", `{"pad":"`+strings.Repeat("x", 1<<20)+`"}`)
	case Error500:
		return write(w, http.StatusInternalServerError, "text/plain", "Internal Server Error")
	case Error502:
		return write(w, http.StatusBadGateway, "text/html", "<html>Bad Gateway</html>")
	default:
		m.distort(res)
	}
	return false
}

func write(w http.ResponseWriter, status int, kind, body string) bool {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	return true
}

// distort changes the answer itself.
func (m Misbehaviour) distort(res *result) {
	if res.status > 299 {
		return
	}
	switch m { //nolint:exhaustive // the rest goes wrong elsewhere
	case CRLFToken:
		res.body["access_token"] = "token\r\nX-Evil: yes"
	case EmptyToken:
		res.body["access_token"] = ""
	case NumberToken:
		res.body["access_token"] = 12345678
	case NoToken:
		delete(res.body, "access_token")
	case NoLifetime:
		delete(res.body, "expires_in")
	case TextLifetime:
		res.body["expires_in"] = "1800"
	case ZeroLifetime:
		res.body["expires_in"] = 0
	case LongLifetime:
		res.body["expires_in"] = 10 * 365 * 24 * 3600
	}
}

// Transport leads to the server without a network: all in the goroutine of the caller, so that virtual time goes on.
// Requests that are traced need GetConn, GotConn and WroteHeaders.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GetConn(r.Host)
	}
	switch t.server.unreachable() { //nolint:exhaustive // the rest needs a connection
	case Unreachable:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case Filtered:
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteHeaders()
	}
	defer func() {
		if p := recover(); p != nil {
			if perr, ok := p.(error); !ok || !errors.Is(perr, http.ErrAbortHandler) {
				panic(p)
			}
			res, err = nil, io.ErrUnexpectedEOF
			if ended := r.Context().Err(); ended != nil {
				err = ended
			}
		}
	}()
	inner := r.Clone(r.Context())
	if inner.Body == nil {
		inner.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	w.Body = new(bytes.Buffer)
	t.server.ServeHTTP(w, inner)
	res = w.Result()
	res.Request = r
	return res, nil
}

// unreachable takes what goes wrong before there is a connection from the plan, if that is next.
func (s *Server) unreachable() Misbehaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.planned) == 0 || s.planned[0] != Unreachable && s.planned[0] != Filtered {
		return Well
	}
	m := s.planned[0]
	s.planned = s.planned[1:]
	return m
}

// Package gateway is gateway mode: http(s)://gate/s/<service>/<path>, which needs nothing of the client but a URL.
//
// It serves HTTP/1.1, splits the target, and hands over to the pipeline. It has no checks of its own: what is wrong
// with a request before it has a target (package wire) goes to the pipeline as well, which answers and records it.
package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/boundary"
	"sallyport/internal/boundary/wire"
	"sallyport/internal/fault"
)

// Pipeline is the one way of a request.
type Pipeline interface {
	Handle(w http.ResponseWriter, r *http.Request, v *boundary.View)
	HandleWhoami(ctx context.Context, w http.ResponseWriter, v *boundary.View)
}

// Options are what a Gateway needs.
type Options struct {
	Pipeline Pipeline
	MaxHead  int // bytes of a request head
	TLS      *tls.Config
	Log      *slog.Logger

	Connections wire.Limit // its Log is the one above

	ServerError func(listener, kind string) // counts what net/http's server complains of; nil: nobody does
}

// Gateway serves gateway mode on one listener.
type Gateway struct {
	o        Options
	server   *http.Server
	breakOff context.CancelCauseFunc
}

// The time-outs of the caller's side. There is none for a whole request: bodies stream as long as they move.
const (
	headTimeout = 30 * time.Second
	idleTimeout = 2 * time.Minute
)

// New returns a Gateway that is not serving yet.
func New(o Options) *Gateway {
	g := &Gateway{o: o}
	all, breakOff := context.WithCancelCause(context.Background()) //nolint:forbidigo // of all requests: it ends with the gateway
	g.breakOff = breakOff
	g.server = &http.Server{
		Handler: g, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: o.MaxHead + 8<<10, // package wire has refused larger ones before
		ConnState:      wire.ConnState,
		ErrorLog:       wire.ErrorLog(o.Log, "gateway", o.ServerError),
		BaseContext:    func(net.Listener) context.Context { return all },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	return g
}

type connKey struct{}

// Serve serves until Shutdown or Close; l is plain TCP.
func (g *Gateway) Serve(l net.Listener) error {
	o := wire.Options{
		MaxHead: g.o.MaxHead, HeadTimeout: headTimeout, Limit: g.o.Connections,
		ErrorLog: g.server.ErrorLog,
	}
	o.Limit.Log = g.o.Log
	if g.o.TLS != nil {
		o.TLS = g.o.TLS.Clone()
		o.TLS.NextProtos = []string{"http/1.1"}
	}
	if err := g.server.Serve(wire.Listen(l, o)); err != nil && err != http.ErrServerClosed {
		return fmt.Errorf("serving the gateway: %w", err)
	}
	return nil
}

// Shutdown stops listening and waits for requests in flight.
func (g *Gateway) Shutdown(ctx context.Context) error {
	return g.server.Shutdown(ctx)
}

// BreakOff ends the requests in flight, and those to come, because of why: their calls to APIs end, and whoever has no
// response yet gets that one.
func (g *Gateway) BreakOff(why *fault.Fault) { g.breakOff(why) }

// Close breaks off what is left.
func (g *Gateway) Close() error {
	return g.server.Close()
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &boundary.View{
		Method: r.Method, RawQuery: r.URL.RawQuery, Header: boundary.NetHTTP(r.Header),
		Source: callerAddr(r),
	}
	c, ok := r.Context().Value(connKey{}).(*wire.Conn)
	if !ok {
		panic("a request that did not come through package wire")
	}
	v.Connection, v.Names = c, c.Names()
	w, body := wire.Take(w, r, c)
	if body != nil {
		v.Body = body
		defer func() {
			if !body.Finish() {
				panic(http.ErrAbortHandler)
			}
		}()
	}
	g.split(v, r, c)
	if v.Mount == "" && v.Path == "/whoami" && v.Refusal == "" {
		g.o.Pipeline.HandleWhoami(r.Context(), w, v)
		return
	}
	g.o.Pipeline.Handle(w, r, v)
}

// prefix is where services begin.
const prefix = "/s/"

// split takes the request target apart without decoding anything.
func (g *Gateway) split(v *boundary.View, r *http.Request, c *wire.Conn) {
	target, _, _ := strings.Cut(r.RequestURI, "?")
	if target == wire.RefusedTarget {
		v.Refusal = c.Violation()
		if broken := c.Broken(); broken != nil {
			v.Broken = broken
		}
	}
	v.Path = target
	if boundary.Meaningless(r.Method) {
		v.Refusal = "the method " + strings.ToUpper(r.Method) + " has no meaning here"
	}
	rest, ok := strings.CutPrefix(target, prefix)
	if !ok {
		return
	}
	name, path, slash := strings.Cut(rest, "/")
	v.Service, v.Path, v.Bare, v.Mount = name, "/"+path, !slash, prefix+name
}

func callerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

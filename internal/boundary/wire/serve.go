package wire

import (
	"context"
	"log"
	"net"
	"net/http"
)

// Serve lets a server that is not the gateway read its requests as the gateway does, over l, which is plain TCP. What
// is refused is answered and told to o.ErrorLog here, and does not come to the server's handler.
func Serve(s *http.Server, l net.Listener, o Options) error {
	if o.ErrorLog == nil {
		o.ErrorLog = s.ErrorLog
	}
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := refusal(r); why != "" {
			tell(o.ErrorLog, r, why)
			http.Error(w, "Sallyport refused the request: "+why, http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
	s.ConnState = ConnState
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	return s.Serve(Listen(l, o)) //nolint:wrapcheck // http.ErrServerClosed has to stay itself
}

type connKey struct{}

// refusal says why r is the stand-in for a refused request, or "".
func refusal(r *http.Request) string {
	c, ok := r.Context().Value(connKey{}).(*Conn)
	if !ok || r.RequestURI != RefusedTarget {
		return ""
	}
	if c.Broken() != nil {
		return "it could not be read"
	}
	return c.Violation()
}

func tell(l *log.Logger, r *http.Request, why string) {
	if l != nil {
		l.Printf(refusedComplaint+"%s: %s", r.RemoteAddr, why)
	}
}

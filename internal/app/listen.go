package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"sallyport/internal/boundary/ca"
	"sallyport/internal/boundary/wire"
	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/monitor"
)

// serverTLS is the TLS of the gateway and admin listeners, or nil for plain HTTP.
func serverTLS(c *config.Config) (*tls.Config, error) {
	switch {
	case c.TLS.CertFile != "":
		certificate, failed := localfile.Read(c.TLS.CertFile, localfile.Small)
		key, err := localfile.Read(c.TLS.KeyFile, localfile.Small)
		if err = errors.Join(failed, err); err != nil {
			return nil, fmt.Errorf("reading tls.cert_file and tls.key_file: %w", err)
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("reading tls.cert_file and tls.key_file: %w", err)
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}, nil
	case c.TLS.CA != "":
		authority, err := ca.Load(c.Data)
		if err != nil {
			return nil, fault.WithHint(err, "`sallyport init` makes the CA")
		}
		return authority.ServerConfig(c.TLS.Hosts), nil
	}
	return nil, nil //nolint:nilnil // plain HTTP
}

// listenTCP opens a listener. Plain HTTP beyond loopback needs insecure: true, and is warned of at every start.
func listenTCP(ctx context.Context, name, address string, c *config.Config, log *slog.Logger) (net.Listener, error) {
	if !c.TLS.Enabled() && !loopback(address) {
		if !c.Insecure {
			return nil,
				fault.WithHint(
					fmt.Errorf("opening the %s listener on %s: plain HTTP beyond loopback would show tokens to the "+
						"network", name, address),
					"set `tls`, or `insecure: true` if something else encrypts the way")
		}
		log.WarnContext(ctx, "INSECURE: plain HTTP beyond loopback; proxy tokens travel in clear", "listener", name,
			"address", address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("opening the %s listener: %w", name, err),
			"is another process on this address? `listen."+name+"` sets it")
	}
	return l, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// connectionLimit makes room for the connections that the configuration asks for, and bounds them by what there is.
func connectionLimit(ctx context.Context, c *config.Config, log *slog.Logger, m *monitor.Metrics) wire.Limit {
	total, perSource := c.Limits.ConnectionLimits(raiseDescriptors(ctx, c, log))
	return wire.Limit{Total: total, PerSource: perSource, Closed: m.ConnectionClosed}
}

// adminConnections are allowed on the admin listener at one time: those of scrapers, probes and a few browsers. For a
// new one the oldest idle one goes, of the source that has the most.
const adminConnections = 256

// newServer is a server of a handler of our own (not the gateway).
func newServer(name string, h http.Handler, log *slog.Logger, m *monitor.Metrics) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: adminHead, ReadTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: wire.ErrorLog(log, name, m.ServerError),
	}
}

// adminHead is how long a caller of the admin listener may take to send a request's head, a TLS handshake included.
const adminHead = 10 * time.Second

// serveAdmin serves on the admin listener: the same reading of requests as the gateway's, and a bound of its own.
func serveAdmin(server *http.Server, l net.Listener, c *tls.Config, log *slog.Logger, m *monitor.Metrics) error {
	return wire.Serve(server, l, wire.Options{
		TLS: c, HeadTimeout: adminHead,
		Limit: wire.Limit{
			Total: adminConnections, Log: log, Hint: "someone opens many connections to the admin listener",
			Closed: func(why string) { m.ConnectionClosed("admin_" + why) },
		},
	})
}

func addressOf(l net.Listener) netip.AddrPort {
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}

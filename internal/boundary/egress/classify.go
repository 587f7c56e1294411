package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"

	"sallyport/internal/fault"
)

// Classify turns an error of [Transport.RoundTrip] into the taxonomy; nil stays
// nil. The message is for a person and quotes nothing that was sent; the cause,
// which may quote the response's header, is kept to be unwrapped, and has to be
// scrubbed before it is logged. A Fault in the chain, such as the cause that a context was
// cancelled with, comes back as it is. The caller's own leaving is client_gone.
func Classify(err error) *fault.Fault {
	if err == nil {
		return nil
	}
	var (
		f          *fault.Fault
		prohibited *ProhibitedError
		phase      *phaseError
		proxy      *proxyError
	)
	switch {
	case errors.As(err, &f):
		return f
	case asType[*fault.Panic](err):
		return fault.From(err)
	case machine(err, &f): // before anybody else is blamed
	case errors.As(err, &prohibited):
		f = classifyProhibited(prohibited)
	case asType[*otherDestinationError](err):
		f = fault.New(fault.DestinationProhibited, "the request is not for the service's own upstream")
	case asType[*http.MaxBytesError](err):
		f = fault.New(fault.BodyTooLarge, "the request body is larger than the service allows")
	case asType[*callerError](err):
		f = fault.New(fault.ClientGone, "the caller's request body ended early")
	case errors.Is(err, context.Canceled):
		f = fault.New(fault.ClientGone, "the caller left before the API answered")
	case errors.As(err, &proxy):
		f = classifyProxy(proxy)
	case errors.As(err, &phase) && phase.phase == phaseTLS:
		f = classifyTLS(phase.err, phase.named)
	case errors.As(err, &phase):
		f = classifyDial(phase.err, phase.named)
	default:
		f = classifyExchange(err)
	}
	return f.Wrap(err)
}

// ClassifyBody is [Classify] for errors of reading a response's body.
func ClassifyBody(err error) *fault.Fault {
	if err == nil {
		return nil
	}
	var f *fault.Fault
	switch {
	case errors.As(err, &f):
		return f
	case asType[*fault.Panic](err):
		return fault.From(err)
	case machine(err, &f):
	case errors.Is(err, errStalled):
		f = fault.New(fault.UpstreamTimeout,
			"the API stopped in the middle of its response").WithDetails("body idle timeout")
	case errors.Is(err, context.Canceled):
		f = fault.New(fault.ClientGone, "the caller left before the response was complete")
	case timeout(err):
		f = fault.New(fault.UpstreamTimeout,
			"the API stopped in the middle of its response").WithDetails("body timeout")
	// in a trailer it has another type
	case errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "unexpected EOF"):
		f = fault.New(fault.UpstreamTruncated,
			"the API's response ended before it was complete").WithDetails("unexpected end of body")
	case malformed(err):
		f = fault.New(fault.UpstreamMalformed,
			"the API's response is not valid HTTP").WithDetails("malformed body framing")
	default:
		f = fault.New(fault.UpstreamReset,
			"the API broke the connection in the middle of its response").WithDetails("connection lost in body")
	}
	return f.Wrap(err)
}

func classifyProhibited(err *ProhibitedError) *fault.Fault {
	at := "at " + err.Addr.String() + ", which is "
	if !err.Addr.IsValid() {
		at = ""
	}
	f := fault.New(fault.DestinationProhibited, "the API's host is "+at+string(err.Class)+"; nothing was sent").
		WithDetails(string(err.Class))
	if err.Class == OwnListener {
		return f.WithHint("the way out never leads back into the gate: let `upstream` name the API itself")
	}
	if err.Class == Metadata {
		return f.WithHint("a metadata service hands out the machine's own credentials; if this is meant, name the " +
			"address alone (/32 or /128) in `allow_private` of the service")
	}
	return f.WithHint("if the address is yours, name it in `allow_private` of the service; if not, look at who " +
		"answers for the host in DNS")
}

func classifyProxy(err *proxyError) *fault.Fault {
	f := fault.New(fault.UpstreamRefused,
		"the proxy on the way to the API "+err.what+"; nothing was sent").WithDetails("proxy")
	switch {
	case err.err != nil && timeout(err.err):
		return fault.New(fault.UpstreamTimeout,
			"the proxy on the way to the API did not answer in time; nothing was sent").WithDetails("proxy timeout")
	case err.what == proxyDenies:
		return f.WithHint("check `proxy_secret` of the service: it is USER:PASSWORD")
	case err.what == proxyRefuses:
		return f.WithHint("the proxy is asked for the API's address, not its name: let it connect to that, and look " +
			"into its log")
	default:
		return f.WithHint("check `proxy` of the service, and whether the proxy is up")
	}
}

func classifyDial(err error, named string) *fault.Fault {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return classifyDNS(dns, named)
	case timeout(err):
		return fault.New(fault.UpstreamTimeout, "the API's address did not accept the connection in time").
			WithDetails("dial timeout").WithHint("a firewall may swallow the packets; otherwise raise " +
			"`timeouts.dial` of the service")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.New(fault.UpstreamRefused, "the API's address refused the connection").
			WithDetails("connection refused").WithHint("nothing listens there: check host and port in " + named +
			", and whether the API is up")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN),
		errors.Is(err, syscall.EADDRNOTAVAIL):
		return fault.New(fault.UpstreamRefused, "the API's address can't be reached from here").
			WithDetails("no route").WithHint("check this machine's routes, and whether it has IPv6 if the API has " +
			"nothing else")
	case errors.Is(err, syscall.ECONNRESET):
		return fault.New(fault.UpstreamReset,
			"the API's address reset the connection").WithDetails("reset while connecting")
	default:
		return fault.New(fault.UpstreamRefused,
			"the connection to the API could not be opened").WithDetails("dial failed")
	}
}

func classifyDNS(err *net.DNSError, named string) *fault.Fault {
	host := strconv.Quote(err.Name)
	switch {
	case err.IsNotFound:
		return fault.New(fault.UpstreamDNS, "its host "+host+" has no address in DNS").
			WithDetails("no such host").WithHint("check the spelling of the host in " + named +
			", and whether this machine's name servers know it")
	case err.IsTimeout:
		return fault.New(fault.UpstreamDNS, "the name server did not answer in time for its host "+host).
			WithDetails("dns timeout").WithHint("check the name servers of this machine")
	default:
		return fault.New(fault.UpstreamDNS, "its host "+host+" could not be resolved").
			WithDetails("dns failure").WithHint("check the name servers of this machine")
	}
}

// classifyExchange is for errors on an open connection, up to the response's header.
func classifyExchange(err error) *fault.Fault {
	switch {
	case timeout(err):
		return fault.New(fault.UpstreamTimeout, "the API did not answer in time").WithDetails("response header timeout")
	case alert(err) != "": // TLS 1.3 refuses a client's certificate only after the handshake
		return classifyAlert(alert(err))
	case malformed(err):
		return fault.New(fault.UpstreamMalformed,
			"the API's response is not valid HTTP").WithDetails("malformed response header")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fault.New(fault.UpstreamReset,
			"the API reset the connection before it answered").WithDetails("connection reset")
	default:
		return fault.New(fault.UpstreamReset,
			"the API closed the connection before it answered").WithDetails("connection closed")
	}
}

func asType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func timeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// malformed tells a response that is no HTTP. Most of net/http's errors for that
// have no type of their own; their texts are held by a test.
func malformed(err error) bool {
	if asType[textproto.ProtocolError](err) {
		return true
	}
	text := err.Error()
	parts := []string{
		"malformed", "headers exceeded", "cannot contain multiple", "invalid", "bad Content-Length", "too many",
		"unsupported transfer encoding", "header line too long", "chunk length", "chunked", "suspiciously long",
	}
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

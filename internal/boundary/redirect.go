package boundary

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/scrub"
	"sallyport/internal/boundary/service"
	"sallyport/internal/fault"
)

// maxHops is how many redirects are followed outside a service.
const maxHops = 5

// redirect tells whether a response sends the caller on, and whether that leaves the service. A redirect without a
// readable Location is none.
func redirect(resp *http.Response, svc *service.Service, m *credential.Material) (leaves bool, location *url.URL) {
	value := resp.Header.Get("Location")
	if value == "" || resp.StatusCode < 300 || resp.StatusCode > 399 {
		return false, nil
	}
	location, err := baseOf(resp, svc).Parse(value)
	if err != nil || len(resp.Header["Location"]) > 1 {
		return true, &url.URL{Host: "an unreadable address"}
	}
	return !inside(location, svc, m), location
}

// external follows a redirect that leaves the service, bare, or refuses it, as the service says. A target that
// redirects back into the service is refused: it would need the credential, which goes nowhere by a third party's word.
func (p *Pipeline) external(w http.ResponseWriter, r *http.Request, resp *http.Response, to *url.URL,
	x *exchange,
) error {
	method, why := bareMethod(r, resp.StatusCode)
	if !x.service.FetchRedirects {
		why = "it answered with a redirect to " + cmp.Or(to.Hostname(), "an address without a host") +
			", outside the service"
	}
	for hop := 0; why == ""; hop++ {
		_ = resp.Body.Close()
		next, done, err := p.fetch(r, to, method, x)
		if err != nil {
			return err
		}
		leaves, location := redirect(next, &service.Service{Scheme: to.Scheme, Host: to.Host}, nil)
		if location == nil {
			defer done()
			defer func() { _ = next.Body.Close() }()
			next.Header.Del("Location")
			x.bare = true
			x.detail = "redirect fetched without a credential from " + to.Hostname()
			return p.respond(w, r, next, x)
		}
		done()
		resp, to = next, location
		switch {
		case hop >= maxHops:
			why = "it answered with a chain of more than 5 redirects"
		case leaves && inside(location, x.service, x.material):
			why = "it answered with a redirect that comes back into the service from outside"
		}
	}
	_ = resp.Body.Close()
	return fault.New(fault.RedirectRefused, why).WithDetails("redirect outside the service")
}

// bareMethod is the method of the fetch (RFC 9110 section 15.4); a redirect that would send a body on is refused.
func bareMethod(r *http.Request, status int) (method, why string) {
	switch {
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return r.Method, ""
	case status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect:
		return "", "it answered with a redirect outside the service that would carry the request's body along"
	default:
		return http.MethodGet, ""
	}
}

// fetch makes one call without any credential. done lets go of the connection.
func (p *Pipeline) fetch(r *http.Request, to *url.URL, method string, x *exchange) (_ *http.Response,
	done func(), err error,
) {
	if to.Scheme != "http" && to.Scheme != "https" || to.User != nil || to.Hostname() == "" {
		return nil, nil, fault.New(fault.RedirectRefused,
			"it answered with a redirect to something that is not a plain http(s) URL")
	}
	if x.service.Scheme == "https" && to.Scheme == "http" {
		return nil, nil, fault.New(fault.RedirectRefused, "it answered with a redirect from https to http")
	}
	if _, n := x.material.Forms().String(to.String()); n > 0 {
		return nil, nil, fault.New(fault.RedirectRefused, "it answered with a redirect that carries the credential")
	}
	transport, err := x.service.Bare(to.Scheme, to.Hostname(), to.Port())
	if err = notFetched(err); err != nil {
		// it is about the host or the port: the rest was checked with the service
		if _, ok := errors.AsType[*fault.Fault](err); !ok {
			err = fault.New(fault.RedirectRefused,
				"it answered with a redirect to a host or port that cannot be dialled").Wrap(err)
		}
		return nil, nil, err
	}
	header := http.Header{"Accept-Encoding": {"identity"}, "User-Agent": nil}
	for _, name := range []string{"Accept", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "User-Agent"} {
		if values := r.Header[name]; values != nil {
			header[name] = values
		}
	}
	if accept := r.Header["Accept-Encoding"]; accept != nil && r.Header["Range"] == nil {
		header["Accept-Encoding"] = []string{scrub.Accept(strings.Join(accept, ","))}
	}
	target := *to
	target.Fragment, target.RawFragment = "", ""
	out := (&http.Request{
		Method: method, URL: &target, Host: to.Host, Header: header, Body: http.NoBody, ProtoMajor: 1,
		ProtoMinor: 1,
	}).WithContext(&x.liveContext)
	before := p.o.Now()
	resp, err := transport.RoundTrip(out)
	x.upstream += p.o.Now().Sub(before)
	if err != nil {
		transport.CloseIdle()
		return nil, nil, notFetched(err)
	}
	if f := tidy(resp); f != nil {
		transport.CloseIdle()
		return nil, nil, f
	}
	return resp, transport.CloseIdle, nil
}

// notFetched gives the refusal to dial a redirect's target its own hint. Every other error stays as it is.
func notFetched(err error) error {
	var prohibited *egress.ProhibitedError
	switch {
	case errors.As(err, &prohibited) && prohibited.Class == egress.OwnListener:
		return egress.Classify(err).WithHint("a redirect never leads into the gate itself")
	case errors.As(err, &prohibited):
		return egress.Classify(err).WithHint("if the address is yours, name it in `fetch_private` of the service: " +
			"`allow_private` is not for redirects")
	}
	return err
}

package notation

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

var errURL = errors.New("want a URL such as https://api.example.com/v1")

// ParseURL reads an absolute http(s) URL that names a place and nothing else.
func ParseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || !IsPrintable(s) {
		return nil, errURL
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the URL begins with http:// or https://: %w", errURL)
	case u.User != nil:
		return nil, errors.New("the URL holds a user or password: those belong in the credential, by reference")
	case u.RawQuery != "" || u.ForceQuery:
		return nil,
			errors.New("the URL holds a query: keys belong in the credential (kind: query), the rest into the request")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("the URL holds a fragment, which is never sent")
	}
	if err := CheckHostPort(u); err != nil {
		return nil, err
	}
	return u, checkBase(u)
}

var errProxy = errors.New("want the URL of a proxy, such as http://proxy.internal:3128 or " +
	"socks5://proxy.internal:1080")

// ParseProxy reads the URL of a proxy: a scheme, a host and perhaps a port.
func ParseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Opaque != "" || !IsPrintable(s):
		return nil, errProxy
	case u.Scheme != "http" && u.Scheme != "socks5":
		return nil, fmt.Errorf("the URL begins with http:// or socks5://: %w", errProxy)
	case u.User != nil:
		return nil, errors.New("the URL holds a user or password: those belong in a store, and proxy_secret names them")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return nil, errors.New("the URL of a proxy ends with its port")
	}
	u.Path = ""
	return u, CheckHostPort(u)
}

// CheckHostPort says what is wrong with the host or the port of a URL.
func CheckHostPort(u *url.URL) error {
	if !IsHost(u.Hostname()) {
		return errors.New("the URL needs a host: a name in a-z, 0-9, '-' and '.' (other scripts in punycode), or an " +
			"address")
	}
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return errors.New("the port after ':' is missing")
	}
	if port != "" && !IsPort(port, 1) {
		return errors.New("the port is a number from 1 to 65535")
	}
	return nil
}

// checkBase normalises the base path: no slash at the end.
func checkBase(u *url.URL) error {
	u.Path = strings.TrimSuffix(u.Path, "/")
	if strings.ContainsAny(u.EscapedPath(), "%\\;") {
		return errors.New("the base path is written without escapes")
	}
	if u.Path == "" {
		return nil
	}
	for seg := range strings.SplitSeq(u.Path[1:], "/") {
		if seg == "" || seg == "." || seg == ".." {
			return errors.New("the base path has an empty or a dot segment")
		}
	}
	return nil
}

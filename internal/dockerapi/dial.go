// Package dockerapi makes clients of a Docker engine: its host is checked, its responses have a bound, and a call goes
// nowhere in the clear but to this machine.
package dockerapi

import (
	"errors"
	"net"
	"net/url"
	"slices"

	"github.com/moby/moby/client"

	"sallyport/internal/fault"
)

// Dial makes a client that contacts nobody yet and finds the API's version at its first call. host is unix:///PATH, or
// https://HOST:PORT; http and tcp are for this machine alone: what services have in their environment would go in the
// clear.
func Dial(host string) (*client.Client, error) {
	u, err := url.Parse(host)
	switch {
	case host == "":
		return nil, fault.WithHint(errors.New("there is no Docker host"),
			"set `host`, such as unix:///var/run/docker.sock")
	case err != nil || !slices.Contains([]string{"unix", "tcp", "http", "https"}, u.Scheme):
		return nil, fault.WithHint(errors.New("the Docker host is not one"),
			"write unix:///var/run/docker.sock, or https://HOST:PORT")
	case u.Scheme != "unix" && u.Scheme != "https" && !isLoopback(u.Hostname()):
		return nil, fault.WithHint(errors.New("the Docker host would get secrets in the clear"),
			"use its unix socket, https, or a tunnel that ends on this machine")
	}
	return bounded(host)
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

package awssm

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"sallyport/internal/fault"
)

const (
	maxName = 512
	maxARN  = 2048
)

// checkName refuses what is no name of a secret before anything is sent.
func checkName(path string) error {
	limit, allowed := maxName, "/_+=.@-!"
	if isARN(path) {
		limit, allowed = maxARN, allowed+":"
	}
	bad := strings.ContainsFunc(path, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune(allowed, r)
	})
	switch {
	case strings.Trim(path, "/") == "", len(path) > limit, bad:
		return fault.WithHint(errors.New("not a name that Secrets Manager takes"),
			"a name is 1 to 512 of A-Z a-z 0-9 / _ + = . @ - such as prod/stripe, or the secret's ARN")
	case hasDotSegment(path):
		return errors.New("the name has a dot segment")
	}
	return nil
}

// couldStart tells whether a name may begin with prefix.
func couldStart(prefix string) bool { return checkName(prefix+"x") == nil }

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isARN(path string) bool {
	parts := strings.SplitN(path, ":", 7)
	return len(parts) == 7 && parts[0] == "arn" && parts[2] == "secretsmanager" && parts[5] == "secret"
}

// regionOf is the region that an ARN names, or "": the service answers for its own region's secrets alone.
func regionOf(path string) string {
	if !isARN(path) {
		return ""
	}
	return strings.Split(path, ":")[3]
}

func isRole(arn string) bool {
	parts := strings.SplitN(arn, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "iam" && strings.HasPrefix(parts[5], "role/")
}

// sameSecret tells whether path, a name or an ARN with or without the six characters that the service adds, is the
// secret with this name and ARN.
func sameSecret(path, name, arn string) bool {
	if path == name || path == arn {
		return true
	}
	return isARN(path) && len(arn) == len(path)+7 && strings.HasPrefix(arn, path+"-")
}

func checkEndpoint(name, endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("the %s is not a URL such as https://secretsmanager.eu-central-1.amazonaws.com", name)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fault.WithHint(fmt.Errorf("the %s is not https: values would cross the network in clear", name),
			"use https://, or http:// on loopback for an emulator")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

package gcpsm

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"sallyport/internal/fault"
)

const (
	maxID        = 255
	globalServer = "secretmanager.googleapis.com"
)

//nolint:gochecknoglobals // compiled once, and two views of one table; never written to
var (
	fullName = regexp.MustCompile(
		`^(projects/[a-z0-9][a-z0-9:.-]{0,99}(?:/locations/[a-z0-9-]{1,63})?)/secrets/([A-Za-z0-9_-]{1,255})$`)
	regional = regexp.MustCompile(`^secretmanager\.([a-z0-9-]+)\.rep\.googleapis\.com$`)
	project  = regexp.MustCompile(`^[a-z0-9][a-z0-9:.-]{0,99}$`)
	alias    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)
	toID     = strings.NewReplacer("/", "--", ".", "-d-")
	toPath   = strings.NewReplacer("--", "/", "-d-", ".")
)

// errNoVersion is a version that cannot be one, and is not asked for.
var errNoVersion = errors.New("not a version")

func isVersion(version string) bool { return isNumber(version) || alias.MatchString(version) }

func isProject(s string) bool { return project.MatchString(s) }

// resource names a secret.
type resource struct{ parent, id string }

func (r resource) name() string { return r.parent + "/secrets/" + r.id }

func (r resource) project() string { return strings.Split(r.parent, "/")[1] }

// refusal is an error of our own making, from before anything was sent.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func (s *Store) resource(path string) (resource, error) {
	if strings.HasPrefix(path, "projects/") {
		m := fullName.FindStringSubmatch(path)
		if m == nil {
			return resource{}, refusal{fault.WithHint(errors.New("not the resource name of a secret"),
				"it looks like projects/corp-prod/secrets/stripe, and the version goes into ?version=…")}
		}
		return resource{parent: m[1], id: m[2]}, nil
	}
	id, err := encode(path)
	if err != nil {
		return resource{}, err
	}
	if s.options.Project == "" {
		return resource{}, refusal{errNoProject()}
	}
	return resource{parent: s.parent, id: id}, nil
}

func errNoProject() error {
	return fault.WithHint(errors.New("no project is known"),
		"set `project` of the store, or write the path as projects/<project>/secrets/<id>")
}

// encode is the id that path stands for. A path that is an id is that id. In any other, '/' is written '--' and '.' is
// '-d-', so that the secret of n8n/api_key is n8n--api_key; a path whose id would read back as another path is refused.
func encode(path string) (string, error) {
	if path != "" && len(path) <= maxID && isID(path) {
		return path, nil
	}
	id := toID.Replace(path)
	switch {
	case strings.Trim(path, "/") == "", strings.Contains(path, "//"), hasDotSegment(path), !isID(id):
		return "", refusal{fault.WithHint(errors.New("not a name that Secret Manager can hold"),
			"an id is letters, digits, '_' and '-'; '/' and '.' are written as -- and -d-")}
	case len(id) > maxID:
		return "",
			refusal{
				fmt.Errorf("the id has %d characters as Secret Manager would hold it, and may have %d", len(id), maxID),
			}
	case toPath.Replace(id) != path:
		return "", refusal{fault.WithHint(fmt.Errorf("the id would be %q in Secret Manager, which stands for %q", id,
			toPath.Replace(id)), "have no '-' before '/' or '.', and no -d- in the name")}
	}
	return id, nil
}

// decode is the path that List shows for an id: the one that encode makes it of, or else the id itself.
func decode(id string) string {
	path := toPath.Replace(id)
	if again, err := encode(path); err == nil && again == id {
		return path
	}
	return id
}

func isID(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// endpoint is where the service is.
type endpoint struct {
	address  string // host:port
	location string // of a regional one, or ""
	plain    bool   // without TLS
}

func parseEndpoint(text string) (endpoint, error) {
	if text == "" {
		return endpoint{address: globalServer + ":443"}, nil
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, fault.WithHint(errors.New("the endpoint is not host[:port]"),
			"it looks like secretmanager.europe-west3.rep.googleapis.com")
	}
	at := endpoint{plain: u.Scheme == "http"}
	if u.Scheme != "https" && (!at.plain || !isLoopback(u.Hostname())) {
		return endpoint{},
			fault.WithHint(errors.New("the endpoint is not https: values would cross the network in clear"),
				"use https://, or http:// on loopback for an emulator")
	}
	port := u.Port()
	switch {
	case port == "" && at.plain:
		port = "80"
	case port == "":
		port = "443"
	}
	at.address = net.JoinHostPort(u.Hostname(), port)
	if m := regional.FindStringSubmatch(u.Hostname()); m != nil {
		at.location = m[1]
	}
	return at, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

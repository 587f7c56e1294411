package vault

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// remembered is how long it is believed what is mounted where.
const remembered = 5 * time.Minute

// mount is a secrets engine and where it is.
type mount struct {
	path    string // with a slash at the end
	kv      int    // 1 or 2; 0 is another engine
	asked   time.Time
	guessed bool // Vault did not tell
}

// mounts remembers what Vault has said of its secrets engines.
type mounts struct {
	fixed int // the KV version that the configuration gives, or 0
	mu    sync.Mutex
	known []mount
}

// locate splits path into its mount and the key inside it.
func (s *Store) locate(ctx context.Context, path string) (mount, string, error) {
	if checkPath(path) != nil || !strings.Contains(path, "/") {
		return mount{}, "", errNoSuchPath
	}
	m, ok := s.mounts.find(path)
	if !ok {
		var err error
		if m, err = s.discover(ctx, path); err != nil {
			return mount{}, "", err
		}
	}
	key, ok := strings.CutPrefix(path, m.path)
	if !ok || key == "" {
		return mount{}, "", errNoSuchPath
	}
	return m, key, nil
}

func (k *mounts) find(path string) (mount, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.known {
		if strings.HasPrefix(path+"/", m.path) && time.Since(m.asked) < remembered {
			return m, true
		}
	}
	return mount{}, false
}

func (k *mounts) remember(m mount) mount {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.known[:0]
	for _, other := range k.known {
		if other.path != m.path {
			kept = append(kept, other)
		}
	}
	k.known = append(kept, m)
	return m
}

// discover asks Vault for the mount of path. Vault answers 403 both where the token has no access and where nothing is
// mounted, and an old or guarded one may not answer the question at all: then the first segment is taken for the mount,
// and the engine for the version that the configuration gives, else 2, since the request itself will tell.
func (s *Store) discover(ctx context.Context, path string) (mount, error) {
	guess := mount{guessed: true, path: path[:strings.Index(path, "/")+1], kv: s.mounts.fixed}
	if guess.kv == 0 {
		guess.kv = 2
	}
	r, err := s.ask(ctx,
		request{method: http.MethodGet, path: "sys/internal/ui/mounts/" + strings.TrimSuffix(path, "/")})
	var e *answerError
	switch {
	case s.lockedOut(err):
		return mount{}, err
	case errors.Is(err, secret.ErrDenied), errors.As(err, &e) && e.status < 429 && e.status != 412:
		return guess, nil
	case err != nil:
		return mount{}, err
	}
	m, ok := s.mounts.read(r.Data)
	if !ok {
		return mount{}, unavailable("vault's response about the mount is not understood", notVault)
	}
	return s.mounts.remember(m), nil
}

// read makes a mount of what Vault says of one.
func (k *mounts) read(data map[string]any) (mount, bool) {
	path, _ := data["path"].(string)
	kind, _ := data["type"].(string)
	if path == "" || kind == "" {
		return mount{}, false
	}
	m := mount{path: strings.TrimSuffix(path, "/") + "/", asked: time.Now()}
	switch kind {
	case "kv", "generic":
		m.kv = k.fixed
		options, _ := data["options"].(map[string]any)
		if version, _ := options["version"].(string); m.kv == 0 && version == "2" {
			m.kv = 2
		} else if m.kv == 0 {
			m.kv = 1
		}
	}
	return m, true
}

var errNoSuchPath = fault.WithHint(secret.ErrNotFound,
	"a path is <mount>/<path>, as the vault command takes it, such as secret/prod/stripe")

// checkPath refuses what Vault would clean into another path, or refuse.
func checkPath(path string) error {
	if path == "" || hasControl(path) || !utf8.ValidString(path) {
		return errPath
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errPath
		}
	}
	return nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
}

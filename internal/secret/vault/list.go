package vault

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

// List implements secret.Lister. A prefix that ends inside the name of a mount, such as "", lists all mounts that the
// token can see and that begin so. An entry of KV version 1 has no version: to make one up its value would have to be
// read.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing secrets under", prefix, err)
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	if hasControl(prefix) || !utf8.ValidString(prefix) || strings.Contains(prefix, "//") ||
		strings.HasPrefix(prefix, "/") {
		return nil, nil // no path begins like this
	}
	engines, err := s.engines(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var paths []located
	for _, m := range engines {
		start, _ := strings.CutPrefix(prefix, m.path) // or the mount lies below the prefix
		if !strings.HasPrefix(prefix, m.path) {
			start = ""
		}
		found, err := s.tree(ctx, m, start[:strings.LastIndex(start, "/")+1], func(key string) bool {
			return strings.HasPrefix(key, start)
		})
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	return s.entries(ctx, paths)
}

// located is a secret's place.
type located struct {
	mount mount
	key   string
}

// engines are the KV mounts in which something can begin with prefix: the one it lies in, else those that the token can
// see.
func (s *Store) engines(ctx context.Context, prefix string) ([]mount, error) {
	var guess []mount
	if strings.Contains(prefix, "/") {
		m, err := s.engine(ctx, prefix)
		switch {
		case err != nil:
			return nil, err
		case m.guessed:
			guess = []mount{m}
		case strings.HasPrefix(prefix, m.path) && m.kv == 0:
			return nil, nil
		case strings.HasPrefix(prefix, m.path):
			return []mount{m}, nil
		}
	}
	engines, err := s.visible(ctx, prefix)
	if len(guess) > 0 && len(engines) == 0 {
		return guess, nil
	}
	return engines, err
}

// visible are the KV mounts that begin with prefix and that the token can see.
func (s *Store) visible(ctx context.Context, prefix string) ([]mount, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	r, err := s.ask(bounded, request{method: http.MethodGet, path: "sys/internal/ui/mounts"})
	if err != nil {
		return nil, err
	}
	seen, _ := r.Data["secret"].(map[string]any)
	var engines []mount
	for path, about := range seen {
		data, _ := about.(map[string]any)
		if data == nil || !strings.HasPrefix(path, prefix) {
			continue
		}
		data["path"] = path
		if m, ok := s.mounts.read(data); ok && m.kv != 0 {
			engines = append(engines, s.mounts.remember(m))
		}
	}
	return engines, nil
}

// engine is the mount that prefix lies in.
func (s *Store) engine(ctx context.Context, prefix string) (mount, error) {
	if m, ok := s.mounts.find(strings.TrimSuffix(prefix, "/")); ok {
		return m, nil
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	return s.discover(bounded, prefix)
}

// tree returns the keys below dir that are wanted.
func (s *Store) tree(ctx context.Context, m mount, dir string, wanted func(key string) bool) ([]located, error) {
	names, err := s.folder(ctx, m, dir)
	if err != nil {
		return nil, err
	}
	var found []located
	for _, name := range names {
		key := dir + name
		switch {
		case strings.HasSuffix(name, "/"):
			below, err := s.tree(ctx, m, key, wanted)
			if err != nil {
				return nil, err
			}
			found = append(found, below...)
		case wanted(key):
			found = append(found, located{m, key})
		}
	}
	return found, nil
}

// folder returns the names right in dir; those of folders end with a slash.
func (s *Store) folder(ctx context.Context, m mount, dir string) ([]string, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	path := m.path + dir
	if m.kv == 2 {
		path = m.path + "metadata/" + dir
	}
	r, err := s.ask(bounded, request{method: http.MethodGet, path: path, query: url.Values{"list": {"true"}}})
	if _, ok := answered(err, http.StatusNotFound); ok {
		return nil, nil // no such folder, or no such mount
	}
	if err != nil {
		return nil, err
	}
	keys, ok := r.Data["keys"].([]any)
	if !ok {
		return nil, unavailable("vault's response is not understood", notVault)
	}
	names := make([]string, 0, len(keys))
	for _, one := range keys {
		if name, ok := one.(string); ok && name != "" && name != "/" {
			names = append(names, name)
		}
	}
	return names, nil
}

// entries looks up the current version of each, and leaves out what is deleted.
func (s *Store) entries(ctx context.Context, paths []located) ([]secret.Entry, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mu sync.Mutex
	var entries []secret.Entry
	inParallel(len(paths), func(i int) {
		at := paths[i]
		v, err := s.current(ctx, at)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, secret.ErrNotFound), notFound(err):
		case err != nil:
			stop(err)
		default:
			entries = append(entries, secret.Entry{Path: at.mount.path + at.key, Version: v})
		}
	})
	return entries, context.Cause(ctx)
}

func (s *Store) current(ctx context.Context, at located) (secret.Version, error) {
	if ctx.Err() != nil || at.mount.kv == 1 {
		return secret.Version{Current: true}, ctx.Err()
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	all, err := s.versions(bounded, at.mount, at.key)
	if err != nil {
		return secret.Version{}, err
	}
	return all.versions[0].describe(true), nil
}

// History implements secret.Lister. What is deleted is left out.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	bounded, cancel := s.bound(ctx)
	defer cancel()
	m, key, err := s.locate(bounded, path)
	var list []secret.Version
	switch {
	case err != nil:
	case m.kv == 2:
		list, err = s.history2(bounded, m, key)
	case m.kv == 1:
		list, err = s.history1(bounded, m, key)
	default:
		err = errNotKV
	}
	if err != nil {
		return nil, s.failed(ctx, "reading the history of secret", path, err)
	}
	return list, nil
}

// inParallel calls do for 0 to n-1, several at once, and returns when all are done.
func inParallel(n int, do func(i int)) {
	var next atomic.Int64
	var all guard.Group
	for range min(n, workers) {
		all.Go("reading secrets", func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

package kubernetes

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

const (
	// listFrom is how many Secrets of one namespace are worth a list of all that it has.
	listFrom = 20

	// batchPage is how many whole Secrets are asked for at once; each has at most 1 MiB, and most a few hundred bytes.
	batchPage = 250

	// readers is how many are read at once one by one.
	readers = 16
)

// found is what is known of a Secret after a batch.
type found struct {
	held *corev1.Secret
	err  error
}

// GetBatch implements secret.Batcher. Many Secrets of a namespace are read by lists, where the role allows that, and
// the rest one by one, some at a time.
func (s *Store) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	locations, results := make([]location, len(keys)), make([]secret.Result, len(keys))
	wanted := make(map[object]*found)
	for i, k := range keys {
		if locations[i], results[i].Err = s.locate(k.Path); results[i].Err == nil {
			wanted[locations[i].object] = nil
		}
	}
	s.readAll(ctx, wanted)
	for i, k := range keys {
		if results[i].Err == nil {
			results[i] = locations[i].result(wanted[locations[i].object], k.Version)
		}
		if err := results[i].Err; err != nil {
			results[i].Err = s.failed(ctx, "reading secret", k.Path, err)
		}
	}
	return results
}

func (p location) result(f *found, version string) (r secret.Result) {
	if f.err != nil {
		return secret.Result{Err: p.explain(f.err)}
	}
	r.Value, r.Version, r.Err = p.pick(f.held, version)
	return r
}

// readAll fills in what wanted names.
func (s *Store) readAll(ctx context.Context, wanted map[object]*found) {
	count := make(map[string]int)
	for o := range wanted {
		count[o.namespace]++
	}
	var down outage
	for namespace, n := range count {
		if n >= listFrom {
			down.note(s.readByList(ctx, namespace, wanted, n))
		}
	}
	var rest []object
	for o, f := range wanted {
		if f == nil {
			rest = append(rest, o)
		}
	}
	answers := make([]found, len(rest))
	inParallel(len(rest), func(i int) {
		if answers[i].err = down.seen(); answers[i].err == nil {
			answers[i].held, answers[i].err = s.read(ctx, rest[i])
			down.note(answers[i].err)
		}
	})
	for i, o := range rest {
		wanted[o] = &answers[i]
	}
}

// readByList fills in what a list shows of the n Secrets wanted in a namespace. What it does not show is left out: it
// is read by itself, which also tells why. So is all when the role allows no list, or most of a large namespace is
// others'.
func (s *Store) readByList(ctx context.Context, namespace string, wanted map[object]*found, n int) error {
	next := ""
	for pages := 2 + 4*n/batchPage; pages > 0 && n > 0; pages-- {
		page, err := s.wholePage(ctx, namespace, next)
		switch {
		case apierrors.IsResourceExpired(err):
			return nil // it took so long that the list cannot be continued
		case err != nil:
			return explain(err, rule{verb: "list", object: object{namespace: namespace}})
		}
		for i := range page.Items {
			o := object{namespace, page.Items[i].Name}
			if f, isWanted := wanted[o]; isWanted && f == nil {
				wanted[o] = &found{held: page.Items[i].DeepCopy()} // lets go of the page
				n--
			}
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
	return nil
}

// wholePage asks for the page that next, from the one before, leads to.
func (s *Store) wholePage(ctx context.Context, namespace, next string) (*corev1.SecretList, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	req := s.api.Get().Namespace(namespace).Resource(resource).Param("limit", strconv.Itoa(batchPage)).
		Param("fieldSelector", "type!=helm.sh/release.v1") // releases are large, and nobody's credentials
	if next != "" {
		req.Param("continue", next)
	}
	page := new(corev1.SecretList)
	err := req.Do(ctx).Into(page)
	return page, err
}

// outage remembers what fails everybody: no answer.
type outage struct {
	mu  sync.Mutex
	err error
}

func (o *outage) seen() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outage) note(err error) {
	if !errors.Is(err, secret.ErrUnavailable) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// inParallel calls do for 0 to n-1, several at once, and returns when all are done.
func inParallel(n int, do func(i int)) {
	var next atomic.Int64
	var all guard.Group
	for range min(n, readers) {
		all.Go("reading secrets", func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

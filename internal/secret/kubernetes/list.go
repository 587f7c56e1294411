package kubernetes

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport/internal/secret"
)

// aboutPage is how many Secrets' metadata are asked for at once; each is about 1 KiB.
const aboutPage = 500

// List implements secret.Lister. Without a slash, prefix begins names in the store's own namespace; namespace/ lists
// another's Secrets, and namespace/name/ the keys of one. No values are read, unless it is for keys.
func (s *Store) List(ctx context.Context, prefix string) ([]secret.Entry, error) {
	entries, err := s.list(ctx, prefix)
	if err != nil {
		return nil, s.failed(ctx, "listing secrets under", prefix, err)
	}
	slices.SortFunc(entries, func(a, b secret.Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

func (s *Store) list(ctx context.Context, prefix string) ([]secret.Entry, error) {
	parts := strings.Split(prefix, "/")
	namespace := s.namespace
	if len(parts) > 1 && parts[0] != "" {
		namespace = parts[0]
	}
	switch {
	case !utf8.ValidString(prefix) || len(parts) > 3 || len(validation.IsDNS1123Label(namespace)) > 0:
		return nil, nil // no path begins like this
	case len(parts) == 3:
		return s.listKeys(ctx, prefix)
	}
	under := prefix[:strings.LastIndex(prefix, "/")+1]
	found := make(map[string]secret.Version) // a map, since each may come twice
	err := s.each(ctx, object{namespace: namespace}, func(about metav1.Object) {
		if path := under + about.GetName(); strings.HasPrefix(path, prefix) {
			found[path] = versionOf(about)
		}
	}, nil)
	var entries []secret.Entry
	for path, version := range found {
		entries = append(entries, secret.Entry{Path: path, Version: version})
	}
	return entries, err
}

func (s *Store) listKeys(ctx context.Context, prefix string) ([]secret.Entry, error) {
	under := prefix[:strings.LastIndex(prefix, "/")]
	at, err := s.locate(under)
	if err != nil {
		return nil, nil //nolint:nilerr // no path begins like this
	}
	held, err := s.read(ctx, at.object)
	if err != nil {
		if answers(err) && !forbidden(err) {
			return nil, nil // there is none
		}
		return nil, err
	}
	var entries []secret.Entry
	for key := range held.Data {
		if path := under + "/" + key; strings.HasPrefix(path, prefix) {
			entries = append(entries, secret.Entry{Path: path, Version: versionOf(held)})
		}
	}
	return entries, nil
}

// each calls do with the metadata of all Secrets of a namespace, or of the one that is named, page by page. The version
// of the list, from which a watch can go on, is written to version unless that is nil. When a list ends too late to be
// continued, do is called again for those that it has seen.
func (s *Store) each(ctx context.Context, o object, do func(about metav1.Object), version *string) error {
	opts := metav1.ListOptions{Limit: aboutPage, FieldSelector: only(o)}
	for {
		page, err := s.page(ctx, o, opts)
		if apierrors.IsResourceExpired(err) && opts.Continue != "" {
			opts.Continue, opts.Limit = "", 0
			continue
		}
		if err != nil {
			return explain(err, rule{verb: "list", object: o})
		}
		for i := range page.Items {
			do(&page.Items[i])
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			if version != nil {
				*version = page.ResourceVersion
			}
			return nil
		}
	}
}

func (s *Store) page(ctx context.Context, o object,
	opts metav1.ListOptions,
) (*metav1.PartialObjectMetadataList, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	page, err := s.in(o.namespace).List(ctx, opts)
	if err == nil && page.ResourceVersion == "" {
		err = errNotKubernetes
	}
	return page, err
}

// only selects one Secret by its name: a role with resourceNames allows such a list.
func only(o object) string {
	if o.name == "" {
		return ""
	}
	return "metadata.name=" + o.name
}

// History implements secret.Lister: the current version, since Kubernetes keeps no other.
func (s *Store) History(ctx context.Context, path string) ([]secret.Version, error) {
	_, v, err := s.get(ctx, path, "")
	if err != nil {
		return nil, s.failed(ctx, "reading the history of secret", path, err)
	}
	return []secret.Version{v}, nil
}

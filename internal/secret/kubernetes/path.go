package kubernetes

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// object names a Secret.
type object struct{ namespace, name string }

// location is what a path names: a Secret, or one key of it.
type location struct {
	object
	key  string // "" is the Secret as a whole
	both bool   // the path has two parts of which the first, a namespace, could have been meant as a name
}

// locate reads a path.
func (s *Store) locate(path string) (location, error) {
	parts := strings.Split(path, "/")
	at := location{object: object{namespace: s.namespace, name: parts[0]}}
	if len(parts) > 1 {
		at.name = parts[1]
		at.both = parts[0] != "" && parts[0] != s.namespace && len(parts) == 2
		if parts[0] != "" {
			at.namespace = parts[0]
		}
	}
	if len(parts) > 2 {
		at.key = parts[2]
	}
	switch {
	case len(parts) > 3, len(parts) == 3 && len(validation.IsConfigMapKey(at.key)) > 0:
		return location{}, errPath
	case len(validation.IsDNS1123Label(at.namespace)) > 0:
		return location{}, errPath
	case len(validation.IsDNS1123Subdomain(at.name)) > 0:
		return location{}, at.suspect(errPath)
	}
	return at, nil
}

// explain adds to an error about a path with two parts how the other meaning is written.
func (p location) explain(err error) error {
	if errors.Is(err, secret.ErrNotFound) || forbidden(err) {
		return p.suspect(err)
	}
	return err
}

func (p location) suspect(err error) error {
	if !p.both {
		return err
	}
	hint := fmt.Sprintf("the path is read as namespace/name; a key of a Secret in the store's own namespace is "+
		"written /%s/%s, or %s#%s in a reference",
		p.namespace, p.name, p.namespace, p.name)
	if known := fault.HintOf(err); known != "" {
		hint = known + "; and " + hint
	}
	return fault.WithHint(err, hint)
}

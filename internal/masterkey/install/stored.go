package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sallyport/internal/masterkey"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// stored is a place behind the port of stores: a path for each version.
type stored struct {
	numbered
	store   masterkey.Store
	label   string
	family  string // paths are the family and the number
	readAt  func(path string) string
	wrap    func(secret.Value) (secret.Value, error)
	snippet func(path string) string
}

// KubernetesSecrets are the Secrets of a namespace: *kubernetes.Store.
type KubernetesSecrets interface {
	masterkey.Store
	secret.CheckAndSetter // with "" expected, only a Secret that is not there is written
	secret.Lister
	Namespace() string
}

var dnsName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$`)

// NewKubernetes is Secrets with the one key N8N_ENCRYPTION_KEY. Their names are after name, with '-' for '_', which
// Kubernetes has not; "" is DefaultName.
func NewKubernetes(secrets KubernetesSecrets, name string) (Target, error) {
	if name == "" {
		name = DefaultName
	}
	family, err := named(strings.ReplaceAll(name, "_", "-"), dnsName, "a-z, 0-9 and '-'")
	namespace := secrets.Namespace()
	return &stored{
		store: secrets, family: family + "-v", label: fmt.Sprintf("namespace %q of Kubernetes", namespace),
		readAt:  func(path string) string { return "/" + path + "/" + environment.KeyName },
		wrap:    wrapped,
		snippet: func(path string) string { return kubernetesSnippet(namespace, path) },
	}, err
}

// wrapped is a Secret's keys as the store takes them.
func wrapped(key secret.Value) (secret.Value, error) {
	b, err := json.Marshal(map[string]string{environment.KeyName: string(key.Reveal())})
	return secret.NewValue(b), err
}

func kubernetesSnippet(namespace, name string) string {
	return fmt.Sprintf(`# in namespace %[1]s; in every container that runs n8n: main, webhook, worker
env:
  - name: N8N_ENCRYPTION_KEY
    valueFrom:
      secretKeyRef:
        name: %[2]s
        key: N8N_ENCRYPTION_KEY

# or as a file, which "kubectl exec … env" does not show:
env:
  - name: N8N_ENCRYPTION_KEY_FILE
    value: /run/secrets/n8n/N8N_ENCRYPTION_KEY
volumeMounts:
  - {name: n8n-encryption-key, mountPath: /run/secrets/n8n, readOnly: true}
volumes:                    # of the pod; with securityContext.fsGroup: 1000, n8n's own
  - name: n8n-encryption-key
    secret: {secretName: %[2]s, defaultMode: 0440}
`, namespace, name)
}

// NewStore is a store of the configuration, by its name there. Paths are after name; "" is DefaultName.
func NewStore(store masterkey.Store, label, name string) Target {
	if name == "" {
		name = DefaultName
	}
	return &stored{
		store: store, family: name + "_v", label: fmt.Sprintf("store %q", label),
		readAt: func(path string) string { return path },
		wrap:   func(key secret.Value) (secret.Value, error) { return key, nil },
		snippet: func(path string) string {
			return fmt.Sprintf("# in the environment of every n8n: main, webhook, "+
				"worker\nN8N_ENCRYPTION_KEY=ref+%s://%s\n\n# and n8n is started through sallyport, which puts the "+
				"key in its place:\nsallyport run -- n8n start\n", label, path)
		},
	}
}

func (s *stored) String() string       { return s.label }
func (s *stored) Name(n int) string    { return s.family + fmt.Sprint(n) }
func (s *stored) Snippet(n int) string { return s.snippet(s.Name(n)) }
func (s *stored) Notes(int) []string   { return nil }

// maxProbes bounds how many versions are looked for one by one.
const maxProbes = 1000

// Held implements Target: from the store's list, or one by one where the store has none or does not give it.
func (s *stored) Held(ctx context.Context) ([]int, error) {
	var held []int
	if lister, ok := s.store.(secret.Lister); ok {
		entries, err := lister.List(ctx, s.family)
		if err == nil {
			for _, e := range entries {
				if n, ok := numberOf(e.Path, s.family); ok {
					held = append(held, n)
				}
			}
			return held, nil
		}
		if !errors.Is(err, secret.ErrDenied) {
			return nil, err
		}
	}
	for n := 1; n <= maxProbes; n++ {
		_, _, err := s.store.Get(ctx, s.Name(n), "")
		if errors.Is(err, secret.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		held = append(held, n)
	}
	return held, nil
}

// Create implements Target.
func (s *stored) Create(ctx context.Context, held []int, key secret.Value) (int, error) {
	content, err := s.wrap(key)
	if err != nil {
		return 0, err
	}
	return s.create(held, func(n int) error {
		_, err := masterkey.Put(ctx, s.store, s.Name(n), content)
		if errors.Is(err, masterkey.ErrExists) || errors.Is(err, secret.ErrConflict) {
			return errTaken
		}
		return err
	})
}

// Read implements Target. A secret of this name that has no key is someone else's.
func (s *stored) Read(ctx context.Context, n int) (secret.Value, string, error) {
	value, _, err := s.store.Get(ctx, s.readAt(s.Name(n)), "")
	if errors.Is(err, secret.ErrNotFound) {
		return secret.Value{}, "it has no " + environment.KeyName, nil
	}
	return value, "read back from " + s.label + " and compared: it is the same key", err
}

func unlessNone(err error) error {
	if errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	return err
}

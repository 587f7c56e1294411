package install

import (
	"context"
	"fmt"
	"strconv"

	"sallyport/internal/secret"
)

// SwarmSecrets are the secrets of a Docker Swarm, through an engine that manages it: numbered versions that cannot be
// read.
type SwarmSecrets interface {
	// Put creates the Docker secret NAME_vN with the next free number, which is the version's id.
	Put(ctx context.Context, path string, value secret.Value) (secret.Version, error)
	// History lists the versions; secret.ErrNotFound when there is none.
	History(ctx context.Context, path string) ([]secret.Version, error)
	// Named is what Docker calls a version, as Docker says.
	Named(ctx context.Context, path, version string) (string, error)
}

type swarm struct {
	numbered
	secrets SwarmSecrets
	family  string
}

// NewSwarm is the secrets of a swarm. They are called after name; "" is DefaultName.
func NewSwarm(secrets SwarmSecrets, name string) (Target, error) {
	family, err := named(name, plainName, "a-z, A-Z, 0-9, '_', '.' and '-'")
	return &swarm{secrets: secrets, family: family}, err
}

func (s *swarm) String() string    { return "the swarm" }
func (s *swarm) Name(n int) string { return versioned(s.family, n) }

func versioned(family string, n int) string { return family + "_v" + strconv.Itoa(n) }

// Held implements Target.
func (s *swarm) Held(ctx context.Context) ([]int, error) {
	history, err := s.secrets.History(ctx, s.family)
	var held []int
	for _, v := range history {
		if n, err := strconv.Atoi(v.ID); err == nil {
			held = append(held, n)
		}
	}
	return held, unlessNone(err)
}

// Create implements Target. Docker itself refuses a name that is taken; the store goes on to the next.
func (s *swarm) Create(ctx context.Context, _ []int, key secret.Value) (int, error) {
	version, err := s.secrets.Put(ctx, s.family, key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(version.ID)
	if err != nil {
		return 0, fmt.Errorf("reading the new version's number: %w", err)
	}
	return n, nil
}

// Read implements Target: Docker gives no value out.
func (s *swarm) Read(ctx context.Context, n int) (secret.Value, string, error) {
	name, err := s.secrets.Named(ctx, s.family, strconv.Itoa(n))
	if err != nil {
		return secret.Value{}, "", err
	}
	if name != s.Name(n) {
		return secret.Value{}, "", fmt.Errorf("docker calls it %q", name)
	}
	return secret.Value{},
		fmt.Sprintf("Docker has the secret %s, with the labels sallyport.name=%s and sallyport.version=%d; it gives "+
			"no value out, so the key was not compared", name, s.family, n), errHidden
}

// Snippet implements Target. The target is the same for every version, so that the variable stays as it is.
func (s *swarm) Snippet(n int) string {
	return fmt.Sprintf(`services:
  n8n:                      # and every other service that runs n8n: webhook, worker
    environment:
      N8N_ENCRYPTION_KEY_FILE: /run/secrets/%[1]s
    secrets:
      - source: %[2]s
        target: %[1]s
        uid: "1000"         # n8n's image runs as this user
        mode: 0400
secrets:
  %[2]s:
    external: true
`, s.family, s.Name(n))
}

// Notes implements Target.
func (s *swarm) Notes(int) []string {
	return []string{
		"Docker gives the value of a secret to nobody: keep the key in a second place too, or it is lost with the " +
			"swarm",
		"Docker cannot tell whether an older version is the same key: each run of this command makes another version",
	}
}

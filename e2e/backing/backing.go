// Package backing runs what n8n in queue mode stands on, for the end-to-end tests: a real PostgreSQL, a real Redis, a
// real Vault. Each is on loopback, on a free port, in a folder of its own, and leaves no password in a file or in an
// argument. It knows neither n8n nor Sallyport.
package backing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrMissing says that one of the servers is not installed and could not be.
var ErrMissing = errors.New("not installed")

// patience is how long a loaded machine may take to start a server.
const patience = 2 * time.Minute

// Programs are where the servers are.
type Programs struct {
	Postgres string // the folder of initdb, postgres and psql
	Redis    string // redis-server
	Vault    string // vault
}

// Find asks the install scripts below tools. Vault takes minutes to build, which is left to tools/vault/install.
func Find(ctx context.Context, tools string) (p Programs, err error) {
	var errs [3]error
	p.Postgres, errs[0] = ask(ctx, filepath.Join(tools, "postgres", "install"))
	p.Redis, errs[1] = ask(ctx, filepath.Join(tools, "redis", "install"))
	p.Vault, errs[2] = FindVault(ctx, tools)
	return p, errors.Join(errs[:]...)
}

// FindVault is Find for Vault alone: the path of the program.
func FindVault(ctx context.Context, tools string) (string, error) {
	folder := os.Getenv("SALLYPORT_VAULT_DIR")
	if folder == "" {
		var err error
		if folder, err = ask(ctx, filepath.Join(tools, "vault", "install"), "--find"); err != nil {
			return "", err
		}
	}
	return filepath.Join(folder, "vault"), nil
}

func ask(ctx context.Context, script string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, script, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if answer := strings.TrimSpace(string(out)); err == nil && answer != "" {
		return answer, nil
	}
	return "", fmt.Errorf("%w: what %s installs", ErrMissing, script)
}

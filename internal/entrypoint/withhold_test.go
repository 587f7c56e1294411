package entrypoint_test

import (
	"testing"

	"sallyport/internal/entrypoint"
)

// TestWithheldTools: other tools' credentials stay here, n8n's own pass.
func TestWithheldTools(t *testing.T) {
	held := make(map[string]bool)
	for _, name := range entrypoint.Withheld() {
		held[name] = true
	}
	for _, name := range []string{
		"NOMAD_TOKEN", "CONSUL_HTTP_TOKEN", "DOCKER_HOST", "KUBECONFIG", "PGPASSWORD",
		"GITHUB_TOKEN", "NPM_TOKEN", "SSH_AUTH_SOCK",
	} {
		if !held[name] {
			t.Errorf("%s is handed on", name)
		}
	}
	for _, name := range []string{"DB_POSTGRESDB_PASSWORD", "QUEUE_BULL_REDIS_PASSWORD", "N8N_ENCRYPTION_KEY"} {
		if held[name] {
			t.Errorf("%s is held back", name)
		}
	}
}

package entrypoint

import (
	"slices"
	"strings"
)

// Withheld are the variables with which Sallyport, and tools of whoever starts the program, are entered: NAME, or
// PREFIX*. The program gets neither them nor those with which stores are entered (Options.Withhold). n8n's own
// (DB_POSTGRESDB_PASSWORD, QUEUE_BULL_REDIS_PASSWORD, N8N_*) are none of them.
func Withheld() []string {
	return []string{
		"SALLYPORT_*",
		"NOMAD_TOKEN", "NOMAD_CLIENT_KEY", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_AUTH",
		"CONSUL_CLIENT_KEY", "TFE_TOKEN", "TF_TOKEN_*",
		"KUBECONFIG", "KUBE_TOKEN", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_AUTH_CONFIG",
		"DOCKER_PASSWORD", "REGISTRY_AUTH_FILE",
		"PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "PGSSLKEY", "MYSQL_PWD", "REDISCLI_AUTH",
		"GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN",
		"CI_REGISTRY_PASSWORD", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
		"ACTIONS_RUNTIME_TOKEN", "NPM_TOKEN", "NODE_AUTH_TOKEN", "SSH_AUTH_SOCK", "SSHPASS", "GPG_AGENT_INFO",
		"ANSIBLE_VAULT_PASSWORD", "ANSIBLE_VAULT_PASSWORD_FILE", "SOPS_AGE_KEY", "SOPS_AGE_KEY_FILE", "DOPPLER_TOKEN",
		"INFISICAL_TOKEN", "CLOUDFLARE_API_TOKEN",
		"DIGITALOCEAN_ACCESS_TOKEN", "HCLOUD_TOKEN", "BW_SESSION",
		"OP_SERVICE_ACCOUNT_TOKEN", "OP_CONNECT_TOKEN", "OP_SESSION_*",
	}
}

// withhold takes the stores' own credentials out. A variable that is a reference is there for the program.
func (r *runner) withhold(p *plan) {
	resolved := make(map[int]bool)
	for _, w := range p.wants {
		resolved[w.index] = true
	}
	for _, f := range p.files {
		resolved[f.index] = true
	}
	names := slices.Concat(Withheld(), r.Withhold)
	var gone []string
	for i, entry := range p.entries {
		name, _, _ := strings.Cut(entry, "=")
		if !resolved[i] && matches(names, name) && !matches(r.Keep, name) {
			p.entries[i] = ""
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		r.Note("not handed to %s: %s (--keep NAME hands one over)", r.Argv[0], strings.Join(gone, ", "))
	}
}

// matches tells whether a name is among NAMEs and PREFIX*es.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, many := strings.CutSuffix(pattern, "*")
		return pattern == name || (many && strings.HasPrefix(name, prefix))
	})
}

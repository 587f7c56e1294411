package entrypoint

import (
	"slices"
	"strings"
)

// Withheld are the variables with which stores are entered: NAME, or PREFIX*. The program does not get them.
func Withheld() []string {
	return []string{
		"SALLYPORT_*", "VAULT_*", "BAO_*",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD", "IDENTITY_HEADER",
		"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "GOOGLE_OAUTH_ACCESS_TOKEN",
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

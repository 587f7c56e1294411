package check

import (
	"bytes"
	"path"
	"regexp"
	"strings"

	"sallyport/internal/n8n/environment"
)

// assignment is a variable that is set to what looks like a secret. Its value is not kept.
type assignment struct{ name, what string }

var (
	assigned = regexp.MustCompile(`(?:^|[\s;&|])(?:export\s+)?([A-Za-z_][A-Za-z0-9_]{2,})=("[^"]*"|'[^']*'|[^\s"';&|]+)`)
	namesOne = regexp.MustCompile(`(?i)(^|_)(password|passwd|secret|token|api_?key|access_?key|encryption_?key|private_?key|credentials?|auth)(_|$)`)
	namesNo  = regexp.MustCompile(`(?i)(_file|_path|_dir|_url|_name|_id|_user|_ttl|_length|_type|_enabled|_public_key|_expiry|_header|_host|_port|^gpg_key)$`)
	tells    = regexp.MustCompile(`^(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|sk_live_[A-Za-z0-9]{10,}|` +
		`sk-[A-Za-z0-9_-]{20,}|xox[abpors]-[A-Za-z0-9-]{10,}|hv[sb]\.[A-Za-z0-9_-]{20,}|spt_[0-9a-z]{10}_[A-Za-z0-9]{20,}|` +
		`glpat-[A-Za-z0-9_-]{16,}|AIza[0-9A-Za-z_-]{30,})`)
	withUser   = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]{3,}@`)
	envPair    = regexp.MustCompile(`(?i)^ENV\s+([A-Za-z_][A-Za-z0-9_]*)\s+([^=\s]+)$`) // ENV NAME VALUE
	keyHeader  = []byte("PRIVATE KEY-----")
	settingKey = regexp.MustCompile(`"encryptionKey"\s*:\s*"[^"]+"`)
)

// secretIn says why the value of a variable looks like a secret, or "".
func secretIn(name, value string) string {
	value = strings.Trim(value, `"'`)
	switch {
	case tells.MatchString(value):
		return "is a key or a token by its form"
	case withUser.MatchString(value) && !strings.Contains(value, "$"):
		return "has a password in its address"
	case strings.ContainsAny(value, "${}<>()") || strings.HasPrefix(value, "/") || environment.IsPlaceholder(value):
		return ""
	case name == environment.KeyName && value != "":
		return "is n8n's master key"
	case len(value) < 8 || namesNo.MatchString(name) || !namesOne.MatchString(name):
		return ""
	case strings.Contains(value, "://") || strings.HasPrefix(value, "ref+") || strings.HasPrefix(value, "op://"):
		return ""
	}
	return "is a secret by its name, and has a value"
}

// assignments are the variables that a line of a Dockerfile, or a step of an image's history, sets to a secret.
func assignments(line string) (found []assignment) {
	if strings.HasPrefix(line, "#") {
		return nil
	}
	sets := assigned.FindAllStringSubmatch(line, 200)
	if pair := envPair.FindStringSubmatch(line); pair != nil {
		sets = append(sets, pair)
	}
	for _, m := range sets {
		if what := secretIn(m[1], m[2]); what != "" {
			found = append(found, assignment{m[1], what})
		}
	}
	return found
}

func isDockerfile(name string) bool {
	base := strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
	return strings.Contains(base, "dockerfile") && !strings.HasSuffix(base, "ignore") || strings.Contains(base,
		"containerfile")
}

var secretNames = regexp.MustCompile(`(^|/)(\.env(\.[a-z]+)?|id_(rsa|ed25519|ecdsa)|\.netrc|\.pgpass|credentials|.*\.(pem|key|p12|pfx))$`)

// copiesSecret tells a line of a Dockerfile that copies what is a secret by its name.
func copiesSecret(line string) (string, bool) {
	fields := strings.Fields(line)
	if len(fields) < 3 || !strings.EqualFold(fields[0], "COPY") && !strings.EqualFold(fields[0], "ADD") {
		return "", false
	}
	for _, field := range fields[1 : len(fields)-1] {
		if !strings.HasPrefix(field, "--") && secretNames.MatchString(field) && !strings.HasSuffix(field, ".example") {
			return field, true
		}
	}
	return "", false
}

// secretFile says why a file of an image is a secret, or "".
func secretFile(name string, text []byte) string {
	base := path.Base(name)
	switch {
	case strings.HasSuffix(name, "/.n8n/config") && settingKey.Match(text):
		return "is n8n's settings file, with the master key"
	case bytes.Contains(text, keyHeader) && bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")):
		return "is a private key"
	case name == "/root/.aws/credentials" || strings.HasSuffix(name, "/.aws/credentials"):
		return "has AWS credentials"
	case base == ".npmrc" && bytes.Contains(text, []byte("_authToken=")):
		return "has a token of npm"
	case base == ".netrc" || base == ".pgpass":
		return "has passwords"
	case strings.HasSuffix(name, "/.docker/config.json") && bytes.Contains(text, []byte(`"auth"`)):
		return "has a login of a registry"
	}
	if bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
		return "" // a program, or data
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > 4096 {
			continue
		}
		for _, found := range assignments(strings.TrimSpace(line)) {
			if found.name == environment.KeyName || strings.HasPrefix(base, ".env") || strings.Contains(found.what,
				"by its form") {
				return "sets " + found.name + ", which " + found.what
			}
		}
	}
	return ""
}

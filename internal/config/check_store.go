package config

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// storeKeys is what each kind of store takes beside kind, and what it must have.
func storeKeys(kind string) (allowed, required []string) {
	common := []string{"refresh", "max_stale"}
	switch kind {
	case StoreBuiltin:
		return []string{"max_stale"}, nil
	case StoreVault:
		return append([]string{"address", "namespace", "ca_file", "kv", "auth"}, common...), []string{"address", "auth"}
	case StoreAWS:
		return append([]string{"region", "endpoint", "profile", "assume_role", "ca_file"}, common...), nil
	case StoreAzure:
		return append([]string{"vault_url", "tenant_id", "client_id", "ca_file"}, common...), []string{"vault_url"}
	case StoreGoogle:
		return append([]string{"project", "endpoint", "ca_file"}, common...), nil
	case StoreKubernetes:
		return append([]string{"kubeconfig", "context", "namespace"}, common...), nil
	case StoreFile:
		return append([]string{"dir"}, common...), []string{"dir"}
	case StoreEnv:
		return []string{"prefix"}, nil
	case StoreExec:
		return append([]string{"command", "timeout", "pass", "not_found", "denied"}, common...), []string{"command"}
	case StoreSwarm:
		return append([]string{"host", "dir"}, common...), nil
	}
	return nil, nil
}

func storeKinds() (now, later []string) {
	fields, _ := fieldsOf(reflect.TypeFor[Store]())
	kind := fields[indexOf(fields, "kind")]
	return kind.enum, kind.later
}

func storeKindKnown(kind string) bool {
	now, _ := storeKinds()
	return slices.Contains(now, kind)
}

func (k *checker) store(name string) {
	s, key := k.cfg.Stores[name], "stores."+name
	if strings.Contains(name, "_") {
		k.fail(key, "has a '_' in its name, which a reference cannot have", "use '-'")
	}
	if s.Kind == "" {
		now, _ := storeKinds()
		k.missing(key, "has no kind", "write kind: NAME, one of "+strings.Join(now, ", "))
		return
	}
	if now, later := storeKinds(); name != s.Kind && slices.Contains(append(now, later...), name) {
		k.fail(key, "has the name of another kind of store than its own, "+s.Kind, "call it otherwise, so that a reference says what it means")
	}
	k.storeKeys(name, s.Kind)
	k.storeValues(s, key)
	if s.Auth != nil {
		k.storeAuth(s.Auth, key+".auth")
	}
}

func (k *checker) storeKeys(name, kind string) {
	key := "stores." + name
	allowed, required := storeKeys(kind)
	fields, _ := fieldsOf(reflect.TypeFor[Store]())
	for _, f := range names(fields) {
		written := k.cfg.has(key+"."+f) && k.cfg.placeOf(key+"."+f).from == ""
		if written && f != "kind" && !slices.Contains(allowed, f) {
			k.fail(key+"."+f, "does not go with kind "+kind, storeKeyHint(f, kind, allowed))
		}
	}
	for _, f := range required {
		if !k.cfg.has(key + "." + f) {
			k.missing(key, "of kind "+kind+" has no "+f, storeRequiredHint(f))
		}
	}
}

// storeKeyHint names the key that was meant, or the kinds that the key goes with.
func storeKeyHint(f, kind string, allowed []string) string {
	if meant := map[string]string{"vault_url": "address", "endpoint": "address", "address": "endpoint"}[f]; slices.Contains(allowed, meant) {
		return "did you mean " + strconv.Quote(meant) + "?"
	}
	var kinds []string
	now, _ := storeKinds()
	for _, other := range now {
		if keys, _ := storeKeys(other); slices.Contains(keys, f) {
			kinds = append(kinds, other)
		}
	}
	hint := "kind " + kind + " takes " + strings.Join(allowed, ", ")
	if len(kinds) > 0 && len(kinds) < 3 {
		hint = f + " goes with " + strings.Join(kinds, " and ") + "; " + hint
	}
	return hint
}

func storeRequiredHint(f string) string {
	return map[string]string{
		"address":   "write address: https://HOST:8200",
		"auth":      "write auth: {token_file: FILE}, or approle, kubernetes, jwt, cert",
		"vault_url": "write vault_url: https://NAME.vault.azure.net",
		"dir":       "write dir: /run/secrets",
		"command":   `write command: [op, read, "op://prod/{path}"]`,
	}[f]
}

// storeValues checks what a single key says; whether the key belongs there is checked elsewhere.
func (k *checker) storeValues(s *Store, key string) {
	k.caFile(key+".ca_file", s.CAFile)
	for name, u := range map[string]*url.URL{"address": s.Address, "vault_url": s.VaultURL} {
		if u != nil && u.Scheme == "http" && !isInternal(u.Hostname()) {
			k.warn(key+"."+name, "is plain HTTP to a public host: every secret can be read on the way", "use https")
		}
	}
	if s.Address != nil && strings.Contains(s.Address.Path, "/v1") {
		k.warn(key+".address", "has /v1 in its path, which is added by itself", "write scheme, host and port alone")
	}
	k.storeEndpoint(s, key+".endpoint")
	if s.AssumeRole != nil && !strings.HasPrefix(s.AssumeRole.ARN, "arn:") {
		k.missing(key+".assume_role", "has no role", "write arn: arn:aws:iam::ACCOUNT:role/NAME")
	}
	if s.AssumeRole != nil && s.AssumeRole.Endpoint != "" {
		if _, err := parseURL(s.AssumeRole.Endpoint); err != nil {
			k.fail(key+".assume_role.endpoint", "is not a URL", "write https://HOST")
		}
	}
	if s.Context != "" && s.Kubeconfig == "" {
		k.fail(key+".context", "has no kubeconfig beside it", "add kubeconfig: FILE")
	}
	if s.Prefix != "" && !isVariable(s.Prefix) {
		k.fail(key+".prefix", "is not how a variable's name begins", "use A-Z, 0-9 and '_', such as prefix: N8N_")
	}
	if len(s.Command) > 0 && !slices.ContainsFunc(s.Command[1:], func(arg string) bool { return strings.Contains(arg, "{path}") }) {
		k.fail(key+".command", "has no {path} in its arguments: every secret would be the same", `write it as [op, read, "op://prod/{path}"]`)
	}
	if s.MaxStale > 0 && s.MaxStale < s.Refresh {
		k.fail(key+".max_stale", "is shorter than refresh ("+FormatDuration(s.Refresh)+"): secrets would end between two readings", "make it longer")
	}
	if u, err := url.Parse(s.Host); s.Host != "" && (err != nil || !slices.Contains([]string{"unix", "tcp", "https", "http"}, u.Scheme)) {
		k.fail(key+".host", "is not a Docker host", "write unix:///var/run/docker.sock, or https://HOST:PORT")
	}
}

func (k *checker) storeEndpoint(s *Store, key string) {
	if s.Endpoint == "" {
		return
	}
	switch s.Kind {
	case StoreAWS:
		if _, err := parseURL(s.Endpoint); err != nil {
			k.fail(key, "is not a URL", "write https://HOST")
		}
	case StoreGoogle:
		host, port, hasPort := strings.Cut(strings.TrimPrefix(s.Endpoint, "http://"), ":")
		if !isHost(host) || (hasPort && !isPort(port, 1)) {
			k.fail(key, "is not an address", "write HOST or HOST:PORT, such as secretmanager.europe-west3.rep.googleapis.com")
		}
	}
}

func isVariable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !isAlnum(r) && r != '_' }) && (s[0] < '0' || s[0] > '9')
}

// storeAuth wants exactly one way to log in, and that one complete.
func (k *checker) storeAuth(a *StoreAuth, key string) {
	ways := map[string]bool{
		"token_file": a.TokenFile != "", "token_env": a.TokenEnv != "",
		"approle": a.AppRole != nil, "kubernetes": a.Kubernetes != nil, "jwt": a.JWT != nil, "cert": a.Cert != nil,
	}
	maps.DeleteFunc(ways, func(_ string, set bool) bool { return !set })
	switch found := sortedKeys(ways); len(found) {
	case 0:
		k.missing(key, "has no way to log in", "write token_file, token_env, approle, kubernetes, jwt or cert")
	case 1:
	default:
		k.fail(key, "has more than one way to log in: "+strings.Join(found, ", "), "keep one")
	}
	k.variable(key+".token_env", a.TokenEnv)
	if r := a.AppRole; r != nil {
		k.appRole(r, key+".approle")
	}
	for name, j := range map[string]*JWTAuth{"kubernetes": a.Kubernetes, "jwt": a.JWT} {
		if j != nil && j.Role == "" && name == "kubernetes" {
			k.missing(key+"."+name, "has no role", "write role: NAME, as the method in Vault has it")
		}
		if j != nil && j.JWTFile == "" {
			k.missing(key+"."+name, "has no jwt_file", "write jwt_file: FILE")
		}
	}
	if c := a.Cert; c != nil {
		k.certAuth(c, key+".cert")
	}
}

func (k *checker) appRole(r *AppRole, key string) {
	if r.RoleID == "" {
		k.missing(key, "has no role_id", "`vault read auth/approle/role/NAME/role-id` shows it")
	}
	switch {
	case r.SecretIDFile != "" && r.SecretIDEnv != "":
		k.fail(key+".secret_id_env", "stands beside secret_id_file", "keep one")
	case r.SecretIDFile == "" && r.SecretIDEnv == "" && r.Wrapped:
		k.fail(key+".wrapped", "has no secret id beside it", "write secret_id_file: FILE")
	case r.SecretIDFile == "" && r.SecretIDEnv == "":
		k.warn(key, "has no secret id, which only a role with bind_secret_id=false allows", "write secret_id_file: FILE; never the secret id itself")
	}
	k.variable(key+".secret_id_env", r.SecretIDEnv)
}

func (k *checker) certAuth(c *CertAuth, key string) {
	if c.CertFile == "" || c.KeyFile == "" {
		k.missing(key, "needs cert_file and key_file", "")
		return
	}
	k.pair(key, c.CertFile, c.KeyFile)
}

// variable checks the name of an environment variable.
func (k *checker) variable(key, name string) {
	if name != "" && (!isVariable(name) || mayBeSecret(name)) {
		k.fail(key, "is not the name of an environment variable", "write the variable's name; never the value itself")
	}
}

// ref checks that a reference names a store that is there.
func (k *checker) ref(key, store string) {
	if k.stores == nil {
		k.stores = k.cfg.StoreSet()
	}
	if _, ok := k.stores[store]; ok || store == "" || k.rep.broken["stores."+store] {
		return
	}
	k.fail(key, "names a store that is not configured", suggestStore(store, k.stores))
}

func suggestStore(got string, all map[string]*Store) string {
	if word := didYouMean(got, sortedKeys(all)); word != "" {
		return "did you mean ref+" + word + "://…?"
	}
	if now, _ := storeKinds(); slices.Contains(now, got) {
		return fmt.Sprintf("add it: stores: {%s: {kind: %s, …}}; docs/stores/%s.md", got, got, got)
	}
	return "there are " + strings.Join(sortedKeys(all), ", ") + "; others are added under stores"
}

package config

import (
	"maps"
	"net/url"
	"time"
)

// The kinds of store.
const (
	StoreBuiltin    = "builtin"
	StoreVault      = "vault"
	StoreAWS        = "awssm"
	StoreAzure      = "azurekv"
	StoreGoogle     = "gcpsm"
	StoreKubernetes = "kubernetes"
	StoreFile       = "file"
	StoreEnv        = "env"
	StoreExec       = "exec"
	StoreSwarm      = "swarm"
)

// Store is one secret store. Which keys go with which kind is in storeKeys; the checks hold a store to it.
type Store struct {
	Kind     string        `yaml:"kind" enum:"builtin vault awssm azurekv gcpsm kubernetes file env exec swarm" doc:"The kind of store. docs/stores has a page for each."`
	Refresh  time.Duration `yaml:"refresh" eg:"1m" min:"1s" max:"7d" doc:"How often secrets in use are read again, spread by a tenth; a store that tells of changes by itself is asked whether it answers. Default: 1m, 10m for exec. Not for builtin, which tells at once, and env, which never changes."`
	MaxStale time.Duration `yaml:"max_stale" default:"24h" min:"1s" max:"365d" doc:"How long the last known good secret stays active while the store does not confirm it. After that its services answer store_unavailable."`

	Address    *url.URL      `yaml:"address" eg:"https://vault.internal:8200" doc:"Kind vault: where it is."`
	Namespace  string        `yaml:"namespace" eg:"n8n" doc:"Kind vault: the namespace. Kind kubernetes: the namespace of paths that name none; default: the pod's own, or the context's."`
	CAFile     string        `yaml:"ca_file" path:"file" eg:"./vault-ca.pem" doc:"Kinds vault, awssm, azurekv and gcpsm: PEM certificates to trust instead of the system's."`
	KV         int           `yaml:"kv" eg:"2" min:"1" max:"2" doc:"Kind vault: the version of the KV engine. Default: ask Vault."`
	Auth       *StoreAuth    `yaml:"auth" doc:"Kind vault: how to log in; exactly one way."`
	Region     string        `yaml:"region" eg:"eu-central-1" doc:"Kind awssm: the region. Default: as the AWS SDK finds it."`
	Endpoint   string        `yaml:"endpoint" eg:"https://vpce-1234.secretsmanager.eu-central-1.vpce.amazonaws.com" doc:"Kind awssm: another address of the service, as a URL. Kind gcpsm: as HOST or HOST:PORT; that of a region makes the secrets the region's."`
	Profile    string        `yaml:"profile" eg:"n8n" doc:"Kind awssm: a profile of the shared AWS configuration."`
	AssumeRole *AssumeRole   `yaml:"assume_role" doc:"Kind awssm: a role to assume first."`
	VaultURL   *url.URL      `yaml:"vault_url" eg:"https://n8n-prod.vault.azure.net" doc:"Kind azurekv: the vault."`
	TenantID   string        `yaml:"tenant_id" eg:"3fa8…" doc:"Kind azurekv: the identity's tenant. Default: AZURE_TENANT_ID."`
	ClientID   string        `yaml:"client_id" eg:"9b1c…" doc:"Kind azurekv: the client id of a user-assigned or workload identity. Default: AZURE_CLIENT_ID."`
	Project    string        `yaml:"project" eg:"n8n-prod" doc:"Kind gcpsm: the project of paths that are not whole resource names."`
	Kubeconfig string        `yaml:"kubeconfig" path:"file" eg:"./kubeconfig" doc:"Kind kubernetes: a kubeconfig. Default: the pod's service account."`
	Context    string        `yaml:"context" eg:"prod" doc:"Kind kubernetes: the context in kubeconfig. Default: the current one."`
	Dir        string        `yaml:"dir" path:"dir" eg:"/run/secrets" doc:"Kinds file and swarm: the folder that paths are below. Default for swarm: /run/secrets."`
	Prefix     string        `yaml:"prefix" eg:"N8N_" doc:"Kind env: what the variables begin with; paths leave it out."`
	Command    []string      `yaml:"command" eg:"[op, read, \"op://prod/{path}\"]" doc:"Kind exec: the command and its arguments, without a shell; {path} stands for the path. Its output is the secret."`
	Timeout    time.Duration `yaml:"timeout" eg:"10s" min:"100ms" max:"5m" doc:"Kind exec: when the command is killed. Default: 10s."`
	Pass       []string      `yaml:"pass" eg:"[OP_SERVICE_ACCOUNT_TOKEN, OP_*]" doc:"Kind exec: the variables of Sallyport's environment that the command gets beside PATH and HOME; a '*' at the end stands for any ending."`
	NotFound   []int         `yaml:"not_found" eg:"[44]" min:"1" max:"255" doc:"Kind exec: exit codes that mean that there is no such secret."`
	Denied     []int         `yaml:"denied" eg:"[3]" min:"1" max:"255" doc:"Kind exec: exit codes that mean that access is denied."`
	Host       string        `yaml:"host" eg:"unix:///var/run/docker.sock" doc:"Kind swarm: the Docker API, for writing and listing. Absent: secrets are read from dir alone."`
}

// StoreAuth is how a Vault is logged in to. Exactly one way is set.
type StoreAuth struct {
	TokenFile  string    `yaml:"token_file" path:"file" eg:"/run/secrets/vault_token" doc:"A file with a token; read again whenever a token is needed, so an agent may renew it."`
	TokenEnv   string    `yaml:"token_env" eg:"VAULT_TOKEN" doc:"The environment variable that holds a token."`
	AppRole    *AppRole  `yaml:"approle" doc:"AppRole."`
	Kubernetes *JWTAuth  `yaml:"kubernetes" doc:"The pod's service account."`
	JWT        *JWTAuth  `yaml:"jwt" doc:"A JWT from a file."`
	Cert       *CertAuth `yaml:"cert" doc:"A TLS client certificate."`
}

// AppRole is Vault's login for machines.
type AppRole struct {
	RoleID       string `yaml:"role_id" eg:"5a1b…" doc:"The role id; not a secret by itself."`
	SecretIDFile string `yaml:"secret_id_file" path:"file" eg:"/run/secrets/vault_secret_id" doc:"A file with the secret id."`
	SecretIDEnv  string `yaml:"secret_id_env" eg:"VAULT_SECRET_ID" doc:"The environment variable that holds the secret id."`
	Wrapped      bool   `yaml:"wrapped" default:"false" doc:"It is a response-wrapping token around the secret id; unwrapped once."`
	Mount        string `yaml:"mount" default:"approle" doc:"Where the method is mounted."`
}

// JWTAuth is a login with a JSON Web Token.
type JWTAuth struct {
	Role    string `yaml:"role" eg:"sallyport" doc:"The role. For jwt it may be absent: the method's default role."`
	JWTFile string `yaml:"jwt_file" path:"file" eg:"/var/run/secrets/tokens/vault" doc:"The file with the token, read at each login. Default for kubernetes: the pod's own, /var/run/secrets/kubernetes.io/serviceaccount/token."`
	Mount   string `yaml:"mount" eg:"kubernetes" doc:"Where the method is mounted. Default: kubernetes or jwt, as the method."`
}

// CertAuth is a login with a TLS client certificate.
type CertAuth struct {
	Role     string `yaml:"role" eg:"sallyport" doc:"The role. Absent: the one that matches."`
	CertFile string `yaml:"cert_file" path:"file" eg:"/etc/sallyport/vault.crt" doc:"PEM certificate chain, leaf first."`
	KeyFile  string `yaml:"key_file" path:"file" eg:"/etc/sallyport/vault.key" doc:"PEM private key of cert_file."`
	Mount    string `yaml:"mount" default:"cert" doc:"Where the method is mounted."`
}

// AssumeRole is a role of AWS that is taken on with the credentials found.
type AssumeRole struct {
	ARN        string `yaml:"arn" eg:"arn:aws:iam::123456789012:role/sallyport" doc:"The role."`
	ExternalID string `yaml:"external_id" eg:"n8n" doc:"The external id that the role's trust policy asks for."`
	Session    string `yaml:"session" default:"sallyport" doc:"The session's name in CloudTrail."`
	Endpoint   string `yaml:"endpoint" eg:"https://sts.eu-central-1.amazonaws.com" doc:"The address of STS, where it is not the region's own."`
}

const (
	defaultRefresh     = time.Minute
	defaultExecRefresh = 10 * time.Minute
	defaultExecTimeout = 10 * time.Second
	defaultMaxStale    = 24 * time.Hour

	podToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

	// secretsDir is where Docker and Compose put secrets: the folder of the store called file when nobody configures one.
	secretsDir = "/run/secrets"
)

// StoreSet returns the stores by name: those of the configuration, and those that are there without an entry, which are builtin
// and, with a folder and names that cannot be left, file (/run/secrets) and env.
func (c *Config) StoreSet() map[string]*Store {
	all := map[string]*Store{StoreBuiltin: {Kind: StoreBuiltin, MaxStale: defaultMaxStale}}
	if storeKindKnown(StoreFile) {
		all[StoreFile] = &Store{Kind: StoreFile, Dir: secretsDir, Refresh: defaultRefresh, MaxStale: defaultMaxStale}
	}
	if storeKindKnown(StoreEnv) {
		all[StoreEnv] = &Store{Kind: StoreEnv}
	}
	maps.Copy(all, c.Stores)
	return all
}

// storeDefaults gives stores what their kind implies.
func (c *Config) storeDefaults() {
	for _, name := range sortedKeys(c.Stores) {
		s, key := c.Stores[name], "stores."+name
		switch s.Kind {
		case StoreEnv:
			s.MaxStale = 0
			c.places.drop(key + ".max_stale")
		case StoreBuiltin, "":
		case StoreExec:
			orDefault(c, key+".refresh", &s.Refresh, defaultExecRefresh)
			orDefault(c, key+".timeout", &s.Timeout, defaultExecTimeout)
		default:
			orDefault(c, key+".refresh", &s.Refresh, defaultRefresh)
		}
		if s.Auth == nil {
			continue
		}
		if k := s.Auth.Kubernetes; k != nil {
			orDefault(c, key+".auth.kubernetes.jwt_file", &k.JWTFile, podToken)
			orDefault(c, key+".auth.kubernetes.mount", &k.Mount, "kubernetes")
		}
		if j := s.Auth.JWT; j != nil {
			orDefault(c, key+".auth.jwt.mount", &j.Mount, "jwt")
		}
	}
}

func orDefault[T comparable](c *Config, key string, to *T, value T) {
	if !c.has(key) {
		*to = value
		c.places.set(key, place{from: fromDefault})
	}
}

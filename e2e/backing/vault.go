package backing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sallyport/e2e/process"
)

// Vault is a Vault whose storage outlives its process: it can be stopped, started and unsealed again.
type Vault struct {
	*process.Process        // the latest
	Address          string // http://127.0.0.1:PORT

	program, folder string
	unsealKey, root string
	client          *http.Client
}

// StartVault starts the program with folder for its storage, initializes and unseals it.
func StartVault(ctx context.Context, program, folder string) (*Vault, error) {
	ports, err := process.FreePorts(2)
	if err != nil {
		return nil, err
	}
	v := &Vault{
		Address: "http://127.0.0.1:" + ports[0], program: program, folder: folder,
		client: &http.Client{Timeout: time.Minute},
	}
	if err := v.configure("127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1]); err != nil {
		return nil, err
	}
	if err := v.Start(ctx); err != nil {
		return nil, err
	}
	if err := v.initialize(ctx); err != nil {
		v.Down()
		return nil, err
	}
	return v, nil
}

func (v *Vault) initialize(ctx context.Context) error {
	var made struct {
		Keys []string `json:"keys_base64"`
		Root string   `json:"root_token"`
	}
	if err := v.Call(ctx, http.MethodPost, "sys/init", map[string]int{"secret_shares": 1, "secret_threshold": 1},
		&made); err != nil {
		return err
	}
	if len(made.Keys) != 1 || made.Root == "" {
		return errors.New("vault was initialized without a key or a token")
	}
	v.unsealKey, v.root = made.Keys[0], made.Root
	return v.Unseal(ctx)
}

func (v *Vault) configure(address, cluster string) error {
	data := filepath.Join(v.folder, "data")
	config := fmt.Sprintf(`
disable_mlock = true
api_addr      = %q
cluster_addr  = %q
storage "raft" {
  path                   = %q
  node_id                = "one"
  performance_multiplier = 1
}
listener "tcp" {
  address         = %q
  cluster_address = %q
  tls_disable     = true
}
`, v.Address, "http://"+cluster, data, address, cluster)
	return errors.Join(os.MkdirAll(data, 0o700), os.WriteFile(v.config(), []byte(config), 0o600))
}

func (v *Vault) config() string { return filepath.Join(v.folder, "vault.hcl") }

// Start starts the process, which is sealed then.
func (v *Vault) Start(ctx context.Context) (err error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), v.program, "server", "-config", v.config())
	cmd.Dir = v.folder
	cmd.Env = []string{"HOME=" + v.folder, "PATH=" + os.Getenv("PATH")}
	if v.Process, err = process.Start(cmd); err != nil {
		return err
	}
	if err := v.Await(ctx, patience, func() bool {
		return v.Call(ctx, http.MethodGet, "sys/seal-status", nil, nil) == nil
	}); err != nil {
		v.Down()
		return err
	}
	return nil
}

// Unseal returns when Vault serves.
func (v *Vault) Unseal(ctx context.Context) error {
	if err := v.Call(ctx, http.MethodPost, "sys/unseal", map[string]string{"key": v.unsealKey}, nil); err != nil {
		return err
	}
	return v.Await(ctx, patience, func() bool { return v.Call(ctx, http.MethodGet, "sys/health", nil, nil) == nil })
}

// Down ends the process; what was written stays.
func (v *Vault) Down() { v.Stop(syscall.SIGTERM) }

// Call asks as root, with the path after /v1/. The answer's JSON is decoded into out unless that is nil.
func (v *Vault) Call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, v.Address+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", v.root)
	resp, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("vault answered %s %s with %d: %s", method, path, resp.StatusCode, answer)
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// Policy lets whoever has it read one secret of a KV engine, version 2, and nothing else. Its name is n8n.
func (v *Vault) Policy(ctx context.Context, mount, path string) error {
	rules := fmt.Sprintf("path %q { capabilities = [\"read\"] }", mount+"/data/"+path)
	return v.Call(ctx, http.MethodPut, "sys/policies/acl/n8n", map[string]string{"policy": rules}, nil)
}

// Mount mounts a KV engine, version 2.
func (v *Vault) Mount(ctx context.Context, mount string) error {
	kv := map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}
	if err := v.Call(ctx, http.MethodPost, "sys/mounts/"+mount, kv, nil); err != nil {
		return err
	}
	// Vault goes on with setting it up after it has answered.
	return v.Await(ctx, patience, func() bool { return v.Call(ctx, http.MethodGet, mount+"/config", nil, nil) == nil })
}

// Put writes a secret.
func (v *Vault) Put(ctx context.Context, mount, path string, fields map[string]string) error {
	return v.Call(ctx, http.MethodPost, mount+"/data/"+path, map[string]any{"data": fields}, nil)
}

// Token makes a token with the policy n8n.
func (v *Vault) Token(ctx context.Context) (string, error) {
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	err := v.Call(ctx, http.MethodPost, "auth/token/create-orphan", map[string]any{"policies": []string{"n8n"}}, &made)
	return made.Auth.Token, err
}

// AppRole enables the method and makes a role with the policy n8n.
func (v *Vault) AppRole(ctx context.Context) (roleID, secretID string, err error) {
	const role = "auth/approle/role/n8n"
	var made struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	err = errors.Join(
		v.Call(ctx, http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"}, nil),
		v.Call(ctx, http.MethodPost, role, map[string]any{"token_policies": []string{"n8n"}, "token_ttl": "10m"}, nil),
		v.Call(ctx, http.MethodGet, role+"/role-id", nil, &made),
		v.Call(ctx, http.MethodPost, role+"/secret-id", struct{}{}, &made),
	)
	return made.Data.RoleID, made.Data.SecretID, err
}

// TokenWith makes a token with a policy of its own, of that name.
func (v *Vault) TokenWith(ctx context.Context, policy, rules string) (string, error) {
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	err := v.Call(ctx, http.MethodPut, "sys/policies/acl/"+policy, map[string]string{"policy": rules}, nil)
	if err == nil {
		asked := map[string]any{"policies": []string{policy}}
		err = v.Call(ctx, http.MethodPost, "auth/token/create-orphan", asked, &made)
	}
	return made.Auth.Token, err
}

// Get reads the current version of a secret.
func (v *Vault) Get(ctx context.Context, mount, path string) (map[string]string, error) {
	return v.GetVersion(ctx, mount, path, "0")
}

// GetVersion reads a version of a secret, by its number.
func (v *Vault) GetVersion(ctx context.Context, mount, path, version string) (map[string]string, error) {
	var read struct {
		Data struct {
			Data map[string]string `json:"data"`
		} `json:"data"`
	}
	err := v.Call(ctx, http.MethodGet, mount+"/data/"+path+"?version="+version, nil, &read)
	return read.Data.Data, err
}

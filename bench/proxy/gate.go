package proxy

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sallyport/bench/upstream"
)

// Gate is Sallyport as a user would run it: program is its binary, set up by its own commands, everything on.
func Gate(program string) Program {
	return Program{Name: "sallyport", Start: func(ctx context.Context, dir string, api API) (*Proxy, error) {
		gateway, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		admin, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		data := filepath.Join(dir, "data")
		config, err := write(dir, "sallyport.yaml", gateConfig(data, gateway, admin, api))
		if err != nil {
			return nil, err
		}
		token, err := prepare(ctx, program, config, data)
		if err != nil {
			return nil, err
		}
		return launch(ctx, dir, exec.CommandContext(ctx, program, "serve", "--config", config), &Proxy{
			Name: "sallyport", Address: gateway, Prefix: "/s/up",
			Headers: "X-Sallyport-Token: " + token + "\r\n" +
				"X-Sallyport-Workflow: bench\r\nX-Sallyport-Execution: 1\r\nX-Sallyport-Node: HTTP Request\r\n",
		})
	}}
}

func gateConfig(data, gateway, admin string, api API) string {
	trust := ""
	if api.TLS {
		trust = "\n    ca_file: " + api.AuthorityFile + "\n    server_name: localhost"
	}
	return fmt.Sprintf(`listen: {gateway: %q, admin: %q}
data: %q
services:
  up:
    upstream: %s
    credential: {kind: bearer, secret: ref+builtin://up}
    allow: ["GET /v1/**", "GET /ready", "GET /download/*", "POST /upload"]
    allow_private: [127.0.0.1/32]%s
`, gateway, admin, data, api.URL(), trust)
}

// prepare makes the data directory, stores the key and returns a proxy token.
func prepare(ctx context.Context, program, config, data string) (token string, err error) {
	if err := os.MkdirAll(filepath.Dir(data), 0o750); err != nil {
		return "", fmt.Errorf("making the gate's directory: %w", err)
	}
	if _, err := call(ctx, "", program, "init", "--data", data); err != nil {
		return "", err
	}
	if _, err := call(ctx, upstream.Key, program, "secret", "set", "up", "--config", config); err != nil {
		return "", err
	}
	return call(ctx, "", program, "token", "issue", "bench", "--services", "up", "--config", config)
}

// call runs a command to its end and returns its standard output without the white space around it.
func call(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running %s %s: %w\n%s", filepath.Base(program), args[0], err, &said)
	}
	return strings.TrimSpace(string(out)), nil
}

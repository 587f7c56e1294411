package proxy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sallyport/bench/upstream"
)

// Nginx is nginx with a worker per core.
func Nginx(program string) Program {
	return Program{Name: "nginx", Start: func(ctx context.Context, dir string, api API) (*Proxy, error) {
		address, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		config, err := write(dir, "nginx.conf", nginxConfig(dir, address, api))
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program, "-p", dir, "-c", config, "-e", filepath.Join(dir, "error.log"))
		return launch(ctx, dir, cmd, &Proxy{Name: "nginx", Address: address})
	}}
}

func nginxConfig(dir, address string, api API) string {
	user, trust := "", ""
	if os.Geteuid() == 0 {
		user = "user root;" // the workers' temporary files are in a directory of ours
	}
	if api.TLS {
		trust = fmt.Sprintf("proxy_ssl_verify on; proxy_ssl_trusted_certificate %s; proxy_ssl_name localhost; "+
			"proxy_ssl_server_name on;", api.AuthorityFile)
	}
	return fmt.Sprintf(`daemon off;
%[1]s
worker_processes auto;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log warn;
events { worker_connections 8192; }
http {
	access_log off;
	client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
	keepalive_requests 1000000000;
	upstream api { server %[3]s; keepalive %[4]d; keepalive_requests 1000000000; }
	server {
		listen %[5]s backlog=4096;
		location / {
			proxy_pass %[6]s://api;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Authorization "Bearer %[7]s";
			%[8]s
		}
	}
}
`, user, dir, api.Address, Idle, address, scheme(api), upstream.Key, trust)
}

// Caddy is Caddy without its admin endpoint.
func Caddy(program string) Program {
	return Program{Name: "Caddy", Start: func(ctx context.Context, dir string, api API) (*Proxy, error) {
		address, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		config, err := write(dir, "Caddyfile", caddyConfig(address, api))
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program, "run", "--config", config, "--adapter", "caddyfile")
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
		return launch(ctx, dir, cmd, &Proxy{Name: "Caddy", Address: address})
	}}
}

func caddyConfig(address string, api API) string {
	trust := ""
	if api.TLS {
		trust = "tls_trusted_ca_certs " + api.AuthorityFile + "\n\t\t\ttls_server_name localhost"
	}
	return fmt.Sprintf(`{
	admin off
	auto_https off
}
http://%[1]s {
	bind 127.0.0.1
	reverse_proxy %[2]s {
		header_up Authorization "Bearer %[3]s"
		transport http {
			versions 1.1
			keepalive_idle_conns_per_host %[4]d
			%[5]s
		}
	}
}
`, address, api.URL(), upstream.Key, Idle, trust)
}

func scheme(api API) string {
	if api.TLS {
		return "https"
	}
	return "http"
}

// write puts a file into dir and returns its path.
func write(dir, name, text string) (string, error) {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	return path, nil
}

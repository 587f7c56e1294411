package cli_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/boundary/ca"
	"sallyport/internal/testkit"
)

// The machine that the pages are run on is a room of its own: it has the network's loopback for itself, so that the
// ports are those that the pages name, and its own /etc/hosts, in which the API's name stands. There the preset is used
// as it ships, over TLS.
const (
	roomAPI   = "104.18.7.192" // a public address, as the gate wants it; nothing leaves the room
	roomHosts = "127.0.0.1 localhost gate n8n-main n8n-3\n" + roomAPI + " api.openai.com crm.example.com\n"
)

// TestPages runs every sh block of the pages as it is written, in order, by `sh -eu` in a clean home folder.
func TestPages(t *testing.T) {
	for _, program := range []string{"ip", "curl", "openssl"} {
		_, err := exec.LookPath(program)
		testkit.RequireTool(t, program, err == nil, "apt-get install iproute2 curl openssl")
	}
	out, err := room(t.Context(), "true").CombinedOutput()
	testkit.RequireTool(t, "a network namespace for this user", err == nil, fmt.Sprintf("%v %s", err, out))
	for _, p := range pages {
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			p.run(t)
		})
	}
}

// room runs a program in namespaces of its own.
func room(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Setpgid: true}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

func (p page) run(t *testing.T) {
	home, aside := t.TempDir(), t.TempDir()
	p.settle(t, home)
	if err := ca.Create(aside); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(aside, "hosts"), roomHosts, 0o644)
	write(t, filepath.Join(aside, "n8n.mode"), "ok", 0o600)
	write(t, filepath.Join(aside, "bin", "n8n"), "#!/bin/sh\necho n8n \"$@\"\n", 0o755)
	write(t, filepath.Join(aside, "page.sh"), p.script(blocksOf(t, p.path)), 0o600)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := room(ctx, "followed", aside)
	cmd.Dir = home
	cmd.Env = []string{
		"HOME=" + home, "PATH=" + filepath.Join(aside, "bin") + ":" + os.Getenv("PATH"),
		"TMPDIR=" + aside, "SSL_CERT_FILE=" + filepath.Join(aside, ca.CertFile),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s, followed to the letter, ends with %v:\n%s", p.path, err, out)
	}
	for _, text := range p.says {
		if !strings.Contains(string(out), text) {
			t.Errorf("the output lacks %q:\n%s", text, out)
		}
	}
	for _, secret := range []string{"canary-of-the-pages", pageN8NKey} {
		if strings.Contains(string(out), secret) {
			t.Errorf("the output has the secret %s…:\n%s", secret, out)
		}
	}
}

// followed sets the room up, with the APIs in it, and runs the script: followed FOLDER. It is a program of its own
// because a process enters such namespaces when it starts.
func followed(args []string) int {
	if err := follow(args[0]); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "setting the room up:", err)
		return 1
	}
	return 0
}

func follow(aside string) error {
	for _, step := range [][]string{
		{"mount", "--make-rprivate", "/"},
		{"mount", "--bind", filepath.Join(aside, "hosts"), "/etc/hosts"},
		{"ip", "link", "set", "lo", "up"},
		{"ip", "address", "add", roomAPI + "/32", "dev", "lo"},
	} {
		if out, err := exec.Command(step[0], step[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %v: %s", strings.Join(step, " "), err, out) //nolint:errorlint // an exit code here is not the page's
		}
	}
	authority, err := ca.Load(aside)
	if err != nil {
		return err
	}
	api, err := net.Listen("tcp", roomAPI+":443")
	if err != nil {
		return err
	}
	n8nAPI, err := net.Listen("tcp", "127.0.0.1:5678")
	if err != nil {
		return err
	}
	go serveRoom(tls.NewListener(api, authority.ServerConfig([]string{"api.openai.com", "crm.example.com"})),
		http.HandlerFunc(pageAPI))
	go serveRoom(n8nAPI, n8nStandIn(filepath.Join(aside, "n8n.mode"), filepath.Join(aside, "n8n.value")))

	shell := exec.Command("sh", "-eu", filepath.Join(aside, "page.sh"))
	shell.Stdout, shell.Stderr = os.Stdout, os.Stderr
	return shell.Run()
}

// serveRoom serves until the process ends.
func serveRoom(l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintln(os.Stderr, server.Serve(l))
}

// pageAPI answers like OpenAI and like the CRM of the pages: to their keys.
func pageAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + r.Header.Get("X-API-Key"); {
	case key != pageKey && key != pageNewKey:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error": {"message": "Incorrect API key provided"}}`)
	default:
		fmt.Fprint(w, `{"object": "list", "data": [{"id": "gpt-5", "object": "model"}]}`)
	}
}

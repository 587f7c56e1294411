package nodes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/program"
)

// inside asks by running sallyport in the node.
type inside struct {
	way    string
	prefix []string // the command that runs another one in the node
	remedy string   // how sallyport gets there
	logs   string   // the command that shows why the node does not run; "" if unknown
	more   []string // further arguments of `sallyport key verify --local` there
}

func (i inside) Way() string { return i.way }

// headroom is what is left of a node's time for the answer's way back, when it executes a workflow.
const headroom = 5 * time.Second

func (i inside) Ask(ctx context.Context, q Question) (masterkey.Local, error) {
	argv := append(slices.Clip(i.prefix), q.Binary, "key", "verify", "--local", "--nonce", q.Nonce, "--json")
	argv = append(argv, i.more...)
	if q.Workflow != "" {
		argv = append(argv, "--execute", q.Workflow, "--timeout", max(q.Timeout-headroom, time.Second).String())
	}
	e := program.Run(ctx, argv)
	if e.Err != nil {
		return masterkey.Local{}, e.Err
	}
	if l, err := Parse(e.Stdout); err == nil { // whatever the exit code: it tells of findings
		return l, nil
	}
	return masterkey.Local{}, i.failure(e, q.Binary)
}

func (i inside) failure(e program.Ended, binary string) error {
	said := strings.ToLower(e.Said)
	says := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(said, part) {
				return true
			}
		}
		return false
	}
	switch {
	case e.Exit == 0:
		return errNotSallyport()
	case e.Exit == 126 || e.Exit == 127 || says("executable file not found", "not found: "+binary,
		"stat "+binary+": no such file"),
		says("no such file or directory") && says(binary):
		return fault.WithHint(fmt.Errorf("there is no %s in it%s", program.Clean(binary), quoted(e.Said)), i.remedy)
	case i.way == "kubectl" && says("forbidden"):
		return fault.WithHint(fmt.Errorf("kubectl may not run a program in it%s", quoted(e.Said)),
			"whoever it is in this kubeconfig needs `get` of pods and `create` of pods/exec: "+
				"deploy/kubernetes/fleet-prove-rbac.yaml")
	case i.logs != "" && says("is not running", "is restarting", "is paused", "not running", "container not found",
		"no such container", "notfound", "not found", "unable to upgrade connection"):
		return fault.WithHint(fmt.Errorf("it does not run%s", quoted(e.Said)),
			"`"+i.logs+"` tells why; a worker without a key does not start, nor, from n8n 2.39, any n8n with a wrong "+
				"one")
	case says("unknown flag", "unknown command", "which environment?"):
		return fault.WithHint(errors.New("the sallyport in it is too old"),
			"put the one there that you have here; "+i.remedy)
	}
	return fault.WithHint(fmt.Errorf("%s ends with %d%s", i.prefix[0], e.Exit, quoted(e.Said)),
		"run the command by hand: "+strings.Join(i.prefix, " ")+" "+program.Clean(binary)+" key verify --local")
}

func quoted(said string) string {
	if said == "" {
		return ""
	}
	return fmt.Sprintf(": it says %q", said)
}

// docker is a container of the engine at host, or of the one that the docker command talks to when host is "".
func docker(host, container string) inside {
	command := dockerCommand(host)
	shown := strings.Join(command, " ")
	return inside{
		way: "docker", prefix: append(command, "exec", container), logs: shown + " logs --tail 20 " + container,
		remedy: "use an image with sallyport in it (docs/entrypoint.md), start it with -v " +
			"/usr/local/bin/sallyport:/usr/local/bin/sallyport:ro, or for now: " +
			shown + " cp \"$(command -v sallyport)\" " + container +
			":/tmp/sallyport, and --remote-binary /tmp/sallyport",
	}
}

// dockerCommand is the docker command for an engine. It has no words for the URLs of plain HTTP and of HTTPS, which it
// takes as tcp://, and verifies the certificate of the latter with ca.pem in ~/.docker or DOCKER_CERT_PATH.
func dockerCommand(host string) []string {
	scheme, rest, _ := strings.Cut(host, "://")
	switch {
	case host == "":
		return []string{"docker"}
	case scheme == "https":
		return []string{"docker", "--host=tcp://" + rest, "--tlsverify"}
	case scheme == "http":
		host = "tcp://" + rest
	}
	return []string{"docker", "--host=" + host}
}

// pod is a container of a pod, the default one when container is "".
func pod(namespace, name, container string, through through) inside {
	kubectl := append([]string{"kubectl"}, through.flags("kubectl",
		map[string]string{"kubeconfig": "--kubeconfig", "context": "--context"})...)
	at := []string{"-n", namespace, name}
	if container != "" {
		at = append(at, "-c", container)
	}
	return inside{
		way: "kubectl", prefix: slices.Concat(kubectl, []string{"exec"}, at, []string{"--"}),
		logs: strings.Join(slices.Concat(kubectl, []string{"logs", "--previous"}, at), " "),
		remedy: "use an image with sallyport in it, or an init container `sallyport run --install " +
			"/sallyport/sallyport` with an emptyDir " +
			"that n8n mounts too (docs/entrypoint.md), and --remote-binary /sallyport/sallyport",
	}
}

// allocation is a task of a Nomad allocation, its only one when task is "".
func allocation(id, task string, through through) inside {
	flags := through.flags("nomad", map[string]string{
		"address": "-address", "region": "-region", "namespace": "-namespace", "ca": "-ca-cert", "cert": "-client-cert",
		"key": "-client-key", "server_name": "-tls-server-name",
	})
	prefix := slices.Concat([]string{"nomad", "alloc", "exec"}, flags, []string{"-i=false", "-t=false"})
	if task != "" {
		prefix = append(prefix, "-task", task)
	}
	logs := slices.Concat([]string{"nomad", "alloc", "logs"}, flags, []string{"-stderr", id, task})
	return inside{
		way: "nomad", prefix: append(prefix, id),
		logs: strings.TrimSpace(strings.Join(logs, " ")),
		remedy: "use an image with sallyport in it (docs/entrypoint.md), or in the task's config: volumes = " +
			"[\"/usr/local/bin/sallyport:/usr/local/bin/sallyport:ro\"]",
	}
}

// systemUnit is the n8n of a systemd unit, of this machine when host is "". The shell that ssh begins there gets the
// name in quotes: systemd writes some characters with a backslash.
func systemUnit(host, name string) inside {
	i := inside{
		way: "systemd", prefix: []string{"env"}, more: []string{"--systemd-unit", name},
		remedy: "install it there, and say where with --remote-binary", logs: "journalctl -u " + name,
	}
	if host != "" {
		i.prefix, i.more[1] = []string{"ssh", host}, "'"+name+"'"
		i.logs = "ssh " + host + " " + i.logs
	}
	return i
}

// command is anything that runs another command in the node: ssh, nsenter, sudo.
func command(words []string) inside {
	return inside{way: "exec", prefix: words, remedy: "install it there, and say where with --remote-binary"}
}

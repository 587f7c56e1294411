package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey"
	"sallyport/internal/program"
)

// isSelector is a label or a selector that no program takes for a flag.
var isSelector = regexp.MustCompile(`^[A-Za-z0-9][^\x00-\x20]*$`)

// down is a node that was found, and does not run.
type down struct {
	way string
	err error
}

func (d down) Way() string { return d.way }

func (d down) Ask(context.Context, Question) (masterkey.Local, error) {
	return masterkey.Local{}, d.err
}

func notRunning(way, state, logs string) down {
	return down{way, fault.WithHint(fmt.Errorf("it does not run: %s", program.Clean(state)),
		"`"+logs+"` tells why; a worker without a key does not start, nor, from n8n 2.39, any n8n with a wrong one")}
}

// list runs a program that lists things, within timeout.
func list(ctx context.Context, timeout time.Duration, argv []string) ([]byte, error) {
	within, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	e := program.Run(within, argv)
	switch {
	case e.Err != nil && ctx.Err() == nil && errors.Is(e.Err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%s did not answer within %v", argv[0], timeout)
	case e.Err != nil:
		return nil, e.Err
	case e.Exit != 0:
		return nil, fmt.Errorf("%s ends with %d%s", argv[0], e.Exit, quoted(e.Said))
	case len(e.Stdout) == program.MaxStdout:
		return nil, fmt.Errorf("%s lists more than can be read: narrow it down", argv[0])
	}
	return e.Stdout, nil
}

// DockerLabels finds the containers with all of these labels (KEY or KEY=VALUE) that the engines have, or the one that
// the docker command talks to when none is named. With several engines each name has its engine's before it.
func DockerLabels(ctx context.Context, labels, hosts []string, timeout time.Duration) ([]Node, error) {
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	var all []Node
	for _, host := range hosts {
		found, err := dockerPS(ctx, host, labels, timeout)
		if err != nil {
			return nil, fmt.Errorf("looking for containers: %w", err)
		}
		for _, node := range found {
			if len(hosts) > 1 {
				node.Name += "@" + shortHost(host)
			}
			all = append(all, node)
		}
	}
	return all, nil
}

// shortHost is the engine's host of ssh://user@host:port.
func shortHost(host string) string {
	_, host, _ = strings.Cut(host, "://")
	if i := strings.LastIndex(host, "@"); i >= 0 {
		host = host[i+1:]
	}
	return strings.Trim(host, "/")
}

func dockerPS(ctx context.Context, host string, labels []string, timeout time.Duration) ([]Node, error) {
	argv := append(dockerCommand(host), "ps", "--no-trunc", "--format", "{{json .}}")
	for _, label := range labels {
		if !isSelector.MatchString(label) {
			return nil, fault.WithHint(fmt.Errorf("%q is no label", program.Clean(label)),
				"for example com.docker.compose.service=n8n-worker")
		}
		argv = append(argv, "--filter", "label="+label)
	}
	out, err := list(ctx, timeout, argv)
	if err != nil {
		return nil, err
	}
	var all []Node
	for line := range bytes.Lines(out) {
		var c struct{ Names, State, Status string }
		if err := json.Unmarshal(line, &c); err != nil {
			return nil, errors.New("docker ps prints something else than was asked for")
		}
		name, _, _ := strings.Cut(c.Names, ",")
		if !isContainer.MatchString(name) {
			return nil, errors.New("docker ps names a container as Docker names none")
		}
		in := docker(host, name)
		node := Node{Name: name, Asker: in}
		if c.State != "" && c.State != "running" {
			node.Asker = notRunning("docker", c.Status, in.logs)
		}
		all = append(all, node)
	}
	return all, nil
}

// podList is what of `kubectl get pods -o json` matters.
type podList struct {
	Items []struct {
		Metadata struct {
			Name, Namespace   string
			Annotations       map[string]string
			DeletionTimestamp string
		}
		Spec struct {
			Containers []struct{ Name, Image string }
		}
		Status struct {
			Phase             string
			ContainerStatuses []containerStatus
		}
	}
}

type containerStatus struct {
	Name  string
	State struct {
		Running *struct{}
		Waiting *struct{ Reason string }
	}
}

// KubectlSelector finds the pods of a selector; namespace "" is that of the kubectl command's context. In a pod of
// several containers it asks the one whose image or name says n8n, and, where not exactly one does, the pod's default
// container.
func KubectlSelector(ctx context.Context, selector, namespace string, timeout time.Duration) ([]Node, error) {
	if !isSelector.MatchString(selector) || namespace != "" && !isPart.MatchString(namespace) {
		return nil, fault.WithHint(errors.New("looking for pods: that is no selector, or no namespace"),
			"for example --kubectl-selector app=n8n --namespace prod")
	}
	argv := []string{"kubectl", "get", "pods", "-o", "json", "-l", selector}
	if namespace != "" {
		argv = append(argv, "-n", namespace)
	}
	out, err := list(ctx, timeout, argv)
	if err != nil {
		return nil, fmt.Errorf("looking for pods: %w", err)
	}
	return parsePods(out)
}

func parsePods(out []byte) ([]Node, error) {
	var pods podList
	if err := json.Unmarshal(out, &pods); err != nil {
		return nil, errors.New("looking for pods: kubectl prints something else than was asked for")
	}
	var all []Node
	for _, p := range pods.Items {
		name, namespace := p.Metadata.Name, p.Metadata.Namespace
		if !isPart.MatchString(name) || !isPart.MatchString(namespace) {
			return nil, errors.New("looking for pods: kubectl names one as Kubernetes names none")
		}
		if p.Status.Phase == "Succeeded" || p.Metadata.DeletionTimestamp != "" {
			continue // it has ended, or is about to
		}
		container := p.Metadata.Annotations["kubectl.kubernetes.io/default-container"]
		if container == "" {
			container = n8nOf(p.Spec.Containers)
		}
		if container != "" && !isPart.MatchString(container) {
			return nil, errors.New("looking for pods: kubectl names a container as Kubernetes names none")
		}
		in := pod(namespace, name, container, nil)
		node := Node{Name: name, Asker: in}
		if state := stateOf(p.Status.ContainerStatuses, container); p.Status.Phase != "Running" || state != "" {
			node.Asker = notRunning("kubectl", strings.TrimSpace(p.Status.Phase+" "+state), in.logs)
		}
		all = append(all, node)
	}
	return all, nil
}

// n8nOf is the container that n8n runs in, or "".
func n8nOf(containers []struct{ Name, Image string }) (found string) {
	if len(containers) == 1 {
		return ""
	}
	for _, c := range containers {
		if !strings.Contains(c.Name, "n8n") && !strings.Contains(c.Image, "n8n") {
			continue
		}
		if found != "" {
			return ""
		}
		found = c.Name
	}
	return found
}

// stateOf is why a container does not run: "" when it does, or when it is not told.
func stateOf(statuses []containerStatus, container string) string {
	for _, s := range statuses {
		if container != "" && s.Name != container || s.State.Running != nil {
			continue
		}
		if s.State.Waiting != nil {
			return s.State.Waiting.Reason
		}
		return "its container has ended"
	}
	return ""
}

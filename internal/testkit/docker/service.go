//go:build linux

package docker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// Where containers have what of the test.
const (
	TestBinary = "/sallyport.test" // the running test's own program
	Socket     = "/docker.sock"    // the engine's
	Folder     = "/folder"         // the service's, if it has one
)

// Service is a service of the swarm: containers that have this machine's /usr, read-only, and sleep.
type Service struct {
	Name     string
	Replicas uint64
	Command  []string                 // instead of sleeping
	Secrets  []*swarm.SecretReference // Mount makes one
	Env      []string                 // NAME=VALUE
	Folder   string                   // of this machine, which the containers see and cannot write
}

// Mount is a secret as a service has it: under a target below /run/secrets, for root.
func Mount(id, name, target string) *swarm.SecretReference {
	return &swarm.SecretReference{SecretID: id, SecretName: name, File: &swarm.SecretReferenceFileTarget{
		Name: target,
		UID:  "0", GID: "0", Mode: 0o400,
	}}
}

// Run creates a service, waits until its containers run, and removes it when the test ends.
func (e *Engine) Run(t testing.TB, s Service) {
	t.Helper()
	created, err := e.Client.ServiceCreate(t.Context(), client.ServiceCreateOptions{Spec: s.spec(t, e)})
	if err != nil {
		t.Fatalf("creating service %q: %v", s.Name, err)
	}
	t.Cleanup(func() { e.remove(t, created.ID) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.await(ctx, func() bool {
		return len(e.Running(t, s.Name)) == int(s.Replicas) //nolint:gosec // a few
	}); err != nil {
		t.Fatalf("waiting for service %q: %v: %s", s.Name, err, e.Log())
	}
}

// remove waits until the service's containers are gone: until then it has its secrets in use.
func (e *Engine) remove(t testing.TB, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience) //nolint:forbidigo // the test's own has ended
	defer cancel()
	if _, err := e.Client.ServiceRemove(ctx, id, client.ServiceRemoveOptions{}); err != nil {
		t.Errorf("removing service %q: %v", id, err)
		return
	}
	mine := make(client.Filters).Add("label", "com.docker.swarm.service.id="+id)
	err := e.await(ctx, func() bool {
		list, err := e.Client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: mine})
		return err == nil && len(list.Items) == 0
	})
	if err != nil {
		t.Errorf("waiting for the containers of service %q to go: %v", id, err)
	}
}

func (s *Service) spec(t testing.TB, e *Engine) swarm.ServiceSpec {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := s.Command
	if command == nil {
		command = []string{"/bin/sleep", "infinity"}
	}
	delay, attempts := 100*time.Millisecond, uint64(0)
	bind := func(source, target string) mount.Mount {
		return mount.Mount{Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true}
	}
	mounts := []mount.Mount{
		bind("/usr", "/usr"), bind(binary, TestBinary), bind(strings.TrimPrefix(e.Host, "unix://"), Socket),
	}
	if s.Folder != "" {
		mounts = append(mounts, bind(s.Folder, Folder))
	}
	return swarm.ServiceSpec{
		Annotations: swarm.Annotations{Name: s.Name},
		Mode:        swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &s.Replicas}},
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: &swarm.ContainerSpec{
				Image: Image, Command: command, Secrets: s.Secrets, Env: s.Env, StopSignal: "SIGKILL",
				Mounts: mounts,
			},
			RestartPolicy: &swarm.RestartPolicy{
				Condition: swarm.RestartPolicyConditionAny, Delay: &delay,
				MaxAttempts: &attempts,
			},
		},
		UpdateConfig: &swarm.UpdateConfig{
			Monitor:       500 * time.Millisecond,
			FailureAction: swarm.UpdateFailureActionPause, Order: swarm.UpdateOrderStopFirst, Parallelism: 0,
		},
		// Virtual addresses need IP_VS, which not every kernel has.
		EndpointSpec: &swarm.EndpointSpec{Mode: swarm.ResolutionModeDNSRR},
	}
}

// Running are the containers of a service that run.
func (e *Engine) Running(t testing.TB, service string) (containers []string) {
	t.Helper()
	tasks, err := e.Client.TaskList(t.Context(),
		client.TaskListOptions{Filters: make(client.Filters).Add("service", service).Add("desired-state", "running")})
	if err != nil {
		t.Fatalf("listing the containers of service %q: %v", service, err)
	}
	for _, task := range tasks.Items {
		if task.Status.State == swarm.TaskStateRunning && task.Status.ContainerStatus != nil {
			containers = append(containers, task.Status.ContainerStatus.ContainerID)
		}
	}
	return containers
}

// Exec runs a command in each container of a service, with more environment, and returns what each writes to stdout.
func (e *Engine) Exec(t testing.TB, service string, environ []string, command ...string) []string {
	t.Helper()
	outputs, err := e.TryExec(t, service, environ, command...)
	if err != nil {
		t.Fatalf("running %q in service %q: %v", command, service, err)
	}
	return outputs
}

// TryExec is Exec for a service whose containers come and go: one that has ended meanwhile is an error.
func (e *Engine) TryExec(t testing.TB, service string, environ []string,
	command ...string,
) (outputs []string, err error) {
	t.Helper()
	for _, id := range e.Running(t, service) {
		out, err := e.exec(t.Context(), id, client.ExecCreateOptions{
			Env: environ, Cmd: command, AttachStdout: true,
			AttachStderr: true,
		})
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, out)
	}
	return outputs, nil
}

func (e *Engine) exec(ctx context.Context, id string, o client.ExecCreateOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	created, err := e.Client.ExecCreate(ctx, id, o)
	if err != nil {
		return "", err
	}
	attached, err := e.Client.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer attached.Close()
	var stdout, stderr bytes.Buffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, attached.Reader); err != nil {
		return "", err
	}
	ended, err := e.Client.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	if err != nil {
		return "", err
	}
	if ended.ExitCode != 0 {
		return "", fmt.Errorf("it ended with %d: %s", ended.ExitCode, stderr.String())
	}
	return stdout.String(), nil
}

package site

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// containers are those of an engine that run n8n. One that ends meanwhile is left out.
func (s *Site) containers(ctx context.Context, host string) ([]Workload, error) {
	docker, err := Docker(host)
	if err != nil {
		return nil, err
	}
	defer docker.Close() //nolint:errcheck // nothing is lost
	filters := make(client.Filters)
	for _, label := range s.DockerLabels {
		filters = filters.Add("label", label)
	}
	found, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		return nil, DockerError(ctx, "listing the containers", err)
	}
	if len(found.Items) > maxWorkloads {
		return nil, fault.WithHint(fmt.Errorf("listing the containers: there are %d, and more than %d are not "+
			"looked at",
			len(found.Items), maxWorkloads), "--docker-label KEY=VALUE leaves out those that are not n8n's")
	}
	var list []Workload
	for i := range found.Items {
		one, err := docker.ContainerInspect(ctx, found.Items[i].ID, client.ContainerInspectOptions{})
		if err != nil {
			if dockerapi.WhyOf(ctx, err) == dockerapi.Missing {
				continue
			}
			return nil, DockerError(ctx, "inspecting a container", err)
		}
		w, is := workloadOf(one.Container)
		if !is && len(s.DockerLabels) == 0 {
			continue
		}
		secrets, err := givenSecrets(ctx, docker, one.Container, w)
		if err != nil {
			return nil, err
		}
		w.Mounts = append(w.Mounts, secrets...)
		list = append(list, w)
	}
	return list, nil
}

// secretsFolder is where Docker puts secrets.
const secretsFolder = "/run/secrets"

// givenSecrets are the secrets and configs of a container that are no mounts in the engine's words: those of a swarm's
// service, which only a manager tells of, and those that Compose copies in.
func givenSecrets(ctx context.Context, docker *client.Client, c container.InspectResponse, w Workload) (list []Mount,
	err error,
) {
	if c.Config == nil {
		return nil, nil
	}
	if id := c.Config.Labels["com.docker.swarm.service.id"]; id != "" {
		return secretsOfService(ctx, docker, id)
	}
	file, ok := w.Lookup(environment.KeyFileName)
	if _, composed := c.Config.Labels["com.docker.compose.project"]; !ok || !composed ||
		!strings.HasPrefix(file, secretsFolder+"/") {
		return nil, nil
	}
	for _, m := range w.Mounts {
		if file == m.Path || strings.HasPrefix(file, strings.TrimSuffix(m.Path, "/")+"/") {
			return nil, nil // it is that mount's, whatever Compose has copied there before
		}
	}
	_, err = docker.ContainerStatPath(ctx, c.ID, client.ContainerStatPathOptions{Path: file})
	switch {
	case err == nil:
		return []Mount{{Kind: "secret", Name: "of Compose", Path: file}}, nil
	case dockerapi.WhyOf(ctx, err) == dockerapi.Missing:
		return nil, nil
	}
	return nil, DockerError(ctx, "looking for the key's file in a container", err)
}

func secretsOfService(ctx context.Context, docker *client.Client, id string) (list []Mount, err error) {
	found, err := docker.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
	if err != nil {
		switch dockerapi.WhyOf(ctx, err) {
		case dockerapi.NoManager:
			return []Mount{{Kind: Untold, Name: "this engine is no manager of its swarm", Path: secretsFolder}}, nil
		case dockerapi.Missing: // it is being removed
			return []Mount{{Kind: Untold, Name: "its service is gone", Path: secretsFolder}}, nil
		case dockerapi.Denied:
			return []Mount{{Kind: Untold, Name: "GET of services is refused", Path: secretsFolder}}, nil
		default:
			return nil, DockerError(ctx, "inspecting a service of the swarm", err)
		}
	}
	spec := found.Service.Spec.TaskTemplate.ContainerSpec
	if spec == nil {
		return nil, nil
	}
	for _, one := range spec.Secrets {
		if one != nil && one.File != nil {
			list = append(list, Mount{Kind: "secret", Name: one.SecretName, Path: at(secretsFolder, one.File.Name)})
		}
	}
	for _, one := range spec.Configs {
		if one != nil && one.File != nil {
			list = append(list, Mount{Kind: "config", Name: one.ConfigName, Path: at("/", one.File.Name)})
		}
	}
	return list, nil
}

// at is where a swarm puts a file: targets that are no whole paths are below a folder.
func at(folder, target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(folder, target)
}

// Docker is a client of the engine at a host.
func Docker(host string) (*client.Client, error) {
	docker, err := dockerapi.Dial(host)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("asking Docker at %q: %w", host, err),
			"--docker-host unix:///var/run/docker.sock, or https://HOST:2376")
	}
	return docker, nil
}

// DockerError says what an engine's error means; nothing that the engine said is quoted.
func DockerError(ctx context.Context, doing string, err error) error {
	text, hint := "what answers is not a Docker engine in good order", "is it the engine's address?"
	switch dockerapi.WhyOf(ctx, err) {
	case dockerapi.Cancelled:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case dockerapi.Slow:
		text, hint = "no response in time", "is the engine overloaded? --timeout gives it more time"
	case dockerapi.SocketShut:
		text, hint = "this user may not open the engine's socket", "run it as root or as a member of the group docker"
	case dockerapi.Denied:
		text, hint = "what guards the engine's API refuses", "allow GET of containers and images"
	case dockerapi.Missing:
		text, hint = "there is no such thing", "`docker ps -a` and `docker image ls` list what there is"
	case dockerapi.Unreachable:
		text, hint = "there is no engine at this address", "--docker-host names another one"
	case dockerapi.Strange, dockerapi.Conflict, dockerapi.Invalid, dockerapi.NoManager:
	}
	return fault.WithHint(fmt.Errorf("%s: %s", doing, text), hint)
}

// workloadOf reads a container, and tells whether it runs n8n.
func workloadOf(c container.InspectResponse) (Workload, bool) {
	w := Workload{Name: "container " + strings.TrimPrefix(c.Name, "/"), Way: "docker", Vars: make(map[string]Var)}
	if c.Config == nil {
		w.Blind = "the engine does not tell how it was made"
		return w, false
	}
	w.Image = c.Config.Image
	for _, line := range c.Config.Env {
		name, value, _ := strings.Cut(line, "=")
		w.Vars[name] = Var{Value: secret.NewValue([]byte(value))}
	}
	for _, m := range c.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		w.Mounts = append(w.Mounts, Mount{Kind: string(m.Type), Name: name, Path: m.Destination})
	}
	w.Version, _ = w.Lookup("N8N_VERSION")
	role, is := environment.Command(slices.Concat([]string{c.Path}, c.Args), w.Lookup)
	w.Role = role
	return w, is || IsImage(w.Image)
}

// IsImage tells whether an image is n8n's own by its name: the last part of it is n8n.
func IsImage(name string) bool {
	name, _, _ = strings.Cut(name, "@")
	name = name[strings.LastIndex(name, "/")+1:]
	name, _, _ = strings.Cut(name, ":")
	return name == "n8n" || strings.HasPrefix(name, "n8n-")
}

// TagVersion is the version that an image's tag says, or "".
func TagVersion(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if _, tag, ok := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":"); ok && tag != "" &&
		tag[0] >= '0' && tag[0] <= '9' {
		return tag
	}
	return ""
}

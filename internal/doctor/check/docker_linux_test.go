package check_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/testkit/docker"
)

// image loads an image that is made here into an engine: with variables, a history, and a layer for each archive.
func image(t *testing.T, e *docker.Engine, name string, env, history []string, layers ...[]byte) {
	t.Helper()
	var ids, names []string
	var files [][2]string
	for _, layer := range layers {
		sum := sha256.Sum256(layer)
		id := hex.EncodeToString(sum[:])
		ids, names = append(ids, "sha256:"+id), append(names, id+"/layer.tar")
		files = append(files, [2]string{id + "/layer.tar", string(layer)})
	}
	var steps []map[string]any
	for i, step := range history {
		steps = append(steps, map[string]any{"created_by": step, "empty_layer": i >= len(layers)})
	}
	config := asJSON(t, map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Env": env}, "history": steps,
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	})
	manifest := asJSON(t, []map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": names}})
	files = append(files, [2]string{"config.json", config}, [2]string{"manifest.json", manifest})
	out, err := e.Client.ImageLoad(t.Context(), strings.NewReader(string(packed(t, files...))))
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(out)
	if err != nil || out.Close() != nil || strings.Contains(string(said), "errorDetail") {
		t.Fatalf("loading %s: %v: %s", name, err, said)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stopped makes a container that is not started: n8n, as far as its image and its command say.
func stopped(t *testing.T, e *docker.Engine, name, image string, labels map[string]string, env, binds []string) string {
	t.Helper()
	made, err := e.Client.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Name:       name,
		Config:     &container.Config{Image: image, Cmd: []string{"n8n", "start"}, Env: env, Labels: labels},
		HostConfig: &container.HostConfig{NetworkMode: "none", Binds: binds},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// TestDockerEngine looks at the containers and images of a real engine: where each has its key from, and what its image
// has in it.
func TestDockerEngine(t *testing.T) {
	e := docker.Start(t)
	const key, file = "N8N_ENCRYPTION_KEY", "N8N_ENCRYPTION_KEY_FILE"
	const clean, leaky = "registry.example:5000/team/n8n:2.41.1", "n8n:leaky"
	bottom := packed(t, [2]string{"usr/bin/n8n", "#!/bin/sh\n"})
	image(t, e, clean, []string{"PATH=/usr/bin", "N8N_VERSION=2.41.1"}, []string{"COPY n8n /usr/bin"}, bottom)
	removed := packed(t, [2]string{"home/node/.n8n/.wh.config", ""})
	settings := packed(t, [2]string{"home/node/.n8n/config", `{"encryptionKey": "` + canary + `"}`})
	image(t, e, leaky, []string{"DB_PASSWORD=" + canary}, []string{
		"COPY n8n /usr/bin", "RUN n8n", "RUN rm config", "RUN |1 API_TOKEN=" + canary + " /bin/sh -c make",
	}, bottom, settings, removed)

	dir := t.TempDir()
	written(t, dir, "key", canary, 0o600)
	compose := map[string]string{"com.docker.compose.project": "n8n"}
	at := []string{file + "=/run/secrets/key"}
	for name, c := range map[string]struct {
		image      string
		labels     map[string]string
		env, binds []string
	}{
		"clear":           {clean, nil, []string{key + "=" + canary}, nil},
		"none":            {clean, nil, nil, nil},
		"of-image":        {leaky, nil, nil, nil},
		"nothing-mounted": {clean, nil, at, nil},
		"not-of-compose":  {clean, compose, at, nil},
		"compose-file":    {clean, compose, at, []string{dir + "/key:/run/secrets/key:ro"}},
		"file-of-host":    {clean, nil, []string{file + "=/key"}, []string{dir + "/key:/key:ro"}},
		"volume":          {clean, nil, []string{file + "=/data/key"}, []string{"n8n-data:/data"}},
		"secrets-volume":  {clean, nil, at, []string{"n8n-keys:/run/secrets"}},
	} {
		stopped(t, e, name, c.image, c.labels, c.env, c.binds)
	}
	copied := stopped(t, e, "compose-variable", clean, compose, at, nil)
	if _, err := e.Client.CopyToContainer(t.Context(), copied, client.CopyToContainerOptions{
		DestinationPath: "/", Content: strings.NewReader(string(packed(t, [2]string{"run/secrets/key", canary}))),
	}); err != nil {
		t.Fatal(err)
	}
	swarmed(t, e, "swarm-secret", "key")
	swarmed(t, e, "swarm-other", "other")

	on := &site.Site{DockerHosts: []string{e.Host}, Images: []string{leaky, "n8n:gone"}}
	r := one(t, "key-runtime", on)
	states := make(map[string]doctor.Status)
	for _, s := range r.Seen {
		name, _, _ := strings.Cut(strings.TrimPrefix(s.Subject, "container "), ".")
		states[name] = s.Status
	}
	want := map[string]doctor.Status{
		"clear": doctor.Failed, "none": doctor.Failed, "of-image": doctor.Failed, "nothing-mounted": doctor.Failed,
		"not-of-compose": doctor.Failed, "compose-file": doctor.OK, "compose-variable": doctor.OK,
		"file-of-host": doctor.Warning, "volume": doctor.Failed, "secrets-volume": doctor.Failed,
		"swarm-secret": doctor.OK, "swarm-other": doctor.Failed,
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("key-runtime (-want +got):\n%s%+v", diff, r.Seen)
	}

	r = one(t, "image-secrets", on)
	for _, text := range []string{
		"its variable DB_PASSWORD", "sets API_TOKEN", "layer 2: /home/node/.n8n/config",
	} {
		has(t, r, doctor.Failed, text)
	}
	has(t, r, doctor.OK, "in 3 layers")
	has(t, r, doctor.OK, "its variables and history have no secret in them")
	has(t, r, doctor.Unseen, "there is no such thing")
	for _, s := range r.Seen {
		if s.Subject == "image "+clean && s.Status != doctor.OK {
			t.Errorf("the clean image: %+v", s)
		}
	}
}

// swarmed runs a service of the swarm as n8n, whose key's file is said to be /run/secrets/key, and which has a secret
// of another name or of this one.
func swarmed(t *testing.T, e *docker.Engine, name, target string) {
	t.Helper()
	made, err := e.Client.SecretCreate(t.Context(), client.SecretCreateOptions{Spec: swarm.SecretSpec{
		Annotations: swarm.Annotations{Name: name}, Data: []byte(canary),
	}})
	if err != nil {
		t.Fatal(err)
	}
	e.Run(t, docker.Service{
		Name: name, Replicas: 1, Command: []string{"/usr/bin/env", "/bin/sh", "-c", "exec sleep infinity", "n8n"},
		Env:     []string{"N8N_ENCRYPTION_KEY_FILE=/run/secrets/key"},
		Secrets: []*swarm.SecretReference{docker.Mount(made.ID, name, target)},
	})
}

package n8nlog_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"sallyport/internal/testkit/docker"
)

// speaks writes a line like n8n's, with a number that goes on through restarts, to both of its streams in turn.
const speaks = `n=$(cat /tmp/n 2>/dev/null || echo 0)
while :; do
  n=$((n+1)); echo $n > /tmp/n
  if [ $((n%2)) = 0 ]; then exec 3>&1; else exec 3>&2; fi
  echo "{\"level\":\"error\",\"message\":\"Credential with ID \\\"$n\\\" does not exist for type \\\"x\\\".\"}" >&3
  sleep 0.1
done`

// TestDocker: in a real engine, a container's two streams are followed through a restart and through being gone, each
// line once and none left out.
func TestDocker(t *testing.T) {
	engine := docker.Start(t)
	for _, tty := range []bool{false, true} {
		t.Run(fmt.Sprint("tty ", tty), func(t *testing.T) {
			name := fmt.Sprint("n8n-", tty)
			w := start(t, nil, false, "worker=docker:"+name+"?host="+url.QueryEscape(engine.Host))
			w.await(`sallyport_n8n_log_readable{node="worker"}`, "0") // it is not there yet
			made, err := engine.Client.ContainerCreate(t.Context(), client.ContainerCreateOptions{
				Name:   name,
				Config: &container.Config{Image: docker.Image, Tty: tty, Cmd: []string{"/bin/sh", "-c", speaks}},
				HostConfig: &container.HostConfig{
					NetworkMode: "none",
					Mounts:      []mount.Mount{{Type: mount.TypeBind, Source: "/usr", Target: "/usr", ReadOnly: true}},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = engine.Client.ContainerStart(t.Context(), made.ID, client.ContainerStartOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.ids(15)
			zero := 0
			if _, err := engine.Client.ContainerRestart(t.Context(), made.ID,
				client.ContainerRestartOptions{Timeout: &zero}); err != nil {
				t.Fatal(err)
			}
			ids := strings.Fields(w.ids(40))
			for i, id := range ids {
				if n, err := strconv.Atoi(id); err != nil || n != i+1 {
					t.Fatalf("the lines are %q", ids)
				}
			}
			if _, err := engine.Client.ContainerRemove(t.Context(), made.ID,
				client.ContainerRemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
			w.await(`sallyport_n8n_log_readable{node="worker"}`, "0")
		})
	}
}

package install_test

import (
	"os"
	"strings"
	"testing"
	"time"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/masterkey/install"
	"sallyport/internal/secret/swarm"
	"sallyport/internal/testkit/docker"
)

var engine docker.Shared

// mounted is set in a container whose service has the secret: the test's own program prints what n8n would read.
const mounted = "INSTALL_TEST_PRINT"

func TestMain(m *testing.M) {
	if file := os.Getenv(mounted); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.Write(content)
		return
	}
	os.Exit(engine.Main(m))
}

func TestSwarm(t *testing.T) {
	e := engine.Engine(t)
	manager, err := swarm.NewManager(swarm.Options{Host: e.Host, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = manager.Close() })
	p, err := install.NewSwarm(manager, "")
	if err != nil {
		t.Fatal(err)
	}
	want(t, plan(t, p, canary), "n8n_encryption_key_v1", install.Planned, false)
	want(t, run(t, p, canary), "n8n_encryption_key_v1", install.Created, false)

	// A name that someone else has taken is left alone.
	spec := api.SecretSpec{Annotations: api.Annotations{Name: "n8n_encryption_key_v2"}, Data: []byte("theirs")}
	if _, err := e.Client.SecretCreate(t.Context(), client.SecretCreateOptions{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	r := run(t, p, canary)
	want(t, r, "n8n_encryption_key_v3", install.Created, false)
	found, err := e.Client.SecretInspect(t.Context(), "n8n_encryption_key_v3", client.SecretInspectOptions{})
	one := found.Secret
	if err != nil || one.Spec.Labels["sallyport.name"] != "n8n_encryption_key" ||
		one.Spec.Labels["sallyport.version"] != "3" {
		t.Errorf("labels %v, %v", one.Spec.Labels, err)
	}
	for _, part := range []string{
		"source: n8n_encryption_key_v3\n", "target: n8n_encryption_key\n",
		"N8N_ENCRYPTION_KEY_FILE: /run/secrets/n8n_encryption_key\n",
	} {
		if !strings.Contains(r.Snippet, part) {
			t.Errorf("no %q in %s", part, r.Snippet)
		}
	}

	// What a service gets that is set up as the snippet says.
	e.Run(t,
		docker.Service{
			Name: "n8n", Replicas: 1,
			Secrets: []*api.SecretReference{docker.Mount(one.ID, one.Spec.Name, "n8n_encryption_key")},
		})
	if outs := e.Exec(t, "n8n", []string{mounted + "=/run/secrets/n8n_encryption_key"},
		docker.TestBinary); len(outs) != 1 || outs[0] != canary {
		t.Errorf("n8n would read %q", outs)
	}
}

package check

import (
	"context"
	_ "embed" // the page
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/localfile"
)

//go:embed image-secrets.md
var imageSecretsPage string

func imageSecrets() doctor.Check {
	return doctor.Check{
		ID: "image-secrets", Title: "No image and no Dockerfile has a secret in it", Severity: doctor.Critical,
		Asks: "The images of n8n's containers and each --image: their variables and history, and, of --image, every " +
			"file of " +
			"every layer; Dockerfiles in the named folders.",
		Guide: []string{doctor.GuideImages}, Page: imageSecretsPage, Look: lookAtImages, Timeout: 10 * time.Minute,
	}
}

const leaked = "build it without: `RUN --mount=type=secret`, or give it to the container when it starts; the secret " +
	"is known " +
	"to whoever had the image, so rotate it"

func lookAtImages(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	if len(on.Images)+len(on.DockerHosts)+len(on.Files) == 0 {
		return nil, errNobody("no image, engine or folder was named",
			"--image NAME or --image FILE.tar, --docker-host, or a folder with Dockerfiles")
	}
	for _, name := range on.Images {
		seen = append(seen, lookAtImage(ctx, on, name)...)
	}
	for _, host := range on.DockerHosts {
		seen = append(seen, imagesInUse(ctx, on, host)...)
	}
	for _, root := range on.Files {
		seen = append(seen, dockerfiles(ctx, root)...)
	}
	if len(seen) == 0 {
		return nil, errNobody("neither an image of n8n nor a Dockerfile is there", "--image NAME or --image FILE.tar")
	}
	return seen, nil
}

// lookAtImage looks into every layer of an image, which is a file or an engine's.
func lookAtImage(ctx context.Context, on *site.Site, name string) []doctor.Seen {
	at := "image " + name
	file, err := localfile.Open(name)
	switch {
	case err == nil:
		defer file.Close() //nolint:errcheck // it was read
		return layersSeen(ctx, at, file)
	case !errors.Is(err, os.ErrNotExist):
		return []doctor.Seen{doctor.DarkBy(at, err)}
	case len(on.DockerHosts) == 0:
		return []doctor.Seen{doctor.Dark(at, "there is no such file, and no Docker engine that could have it",
			"--docker-host, or a file that `docker save` has made")}
	}
	docker, err := site.Docker(on.DockerHosts[0])
	if err != nil {
		return []doctor.Seen{doctor.DarkBy(at, err)}
	}
	defer docker.Close() //nolint:errcheck // nothing is lost
	saved, err := docker.ImageSave(ctx, []string{name})
	if err != nil {
		return []doctor.Seen{doctor.DarkBy(at, site.DockerError(ctx, "saving "+at, err))}
	}
	defer saved.Close() //nolint:errcheck // it was read
	return layersSeen(ctx, at, saved)
}

func layersSeen(ctx context.Context, at string, r io.Reader) []doctor.Seen {
	x := &layers{ctx: ctx, at: at}
	err := x.image(r)
	switch {
	case err != nil:
		x.seen = append(x.seen, doctor.DarkBy(at, err))
	case x.configs == 0 || x.read == 0:
		x.seen = append(x.seen, doctor.Dark(at, "it is no image that `docker save` has made",
			"docker save NAME > FILE.tar"))
	}
	x.seen = append(x.seen, doctor.Good(at, fmt.Sprintf("looked at %d files in %d layers, and at its variables and "+
		"history",
		x.files, x.read)))
	return x.seen
}

// imagesInUse looks at the variables and the history of the images of n8n's containers.
func imagesInUse(ctx context.Context, on *site.Site, host string) (seen []doctor.Seen) {
	var names []string
	for _, source := range on.Sources(ctx) {
		if source.Name != "Docker at "+host {
			continue
		}
		if source.Err != nil {
			return []doctor.Seen{doctor.DarkBy(source.Name, source.Err)}
		}
		for _, w := range source.Workloads {
			if w.Image != "" && !slices.Contains(names, w.Image) {
				names = append(names, w.Image)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	docker, err := site.Docker(host)
	if err != nil {
		return []doctor.Seen{doctor.DarkBy(host, err)}
	}
	defer docker.Close() //nolint:errcheck // nothing is lost
	for _, name := range names {
		at := "image " + name
		found, err := aboutImage(ctx, docker, at, name)
		if err != nil {
			found = append(found, doctor.DarkBy(at, site.DockerError(ctx, "inspecting "+at, err)))
		} else if len(found) == 0 {
			found = append(found, doctor.Good(at, "its variables and history have no secret in them; --image looks "+
				"into its "+
				"layers"))
		}
		seen = append(seen, found...)
	}
	return seen
}

func aboutImage(ctx context.Context, docker *client.Client, at, name string) ([]doctor.Seen, error) {
	about, err := docker.ImageInspect(ctx, name)
	if err != nil {
		return nil, err
	}
	history, err := docker.ImageHistory(ctx, name)
	if err != nil {
		return nil, err
	}
	var c imageConfig
	if about.Config != nil {
		c.Config.Env = about.Config.Env
	}
	for _, h := range history.Items {
		c.History = append(c.History, imageStep{h.CreatedBy})
	}
	return c.seen(at), nil
}

// imageConfig is the part of an image's configuration (OCI image specification 1.1) that people put secrets into.
type imageConfig struct {
	Config struct {
		Env []string `json:"Env"`
	} `json:"config"`
	History []imageStep `json:"history"`
}

type imageStep struct {
	By string `json:"created_by"`
}

func readImageConfig(text []byte) (c imageConfig, is bool) {
	var probe struct {
		RootFS *json.RawMessage `json:"rootfs"`
	}
	if json.Unmarshal(text, &probe) != nil || probe.RootFS == nil {
		return c, false
	}
	return c, json.Unmarshal(text, &c) == nil
}

func (c imageConfig) seen(at string) (seen []doctor.Seen) {
	told := make(map[string]bool)
	for _, line := range c.Config.Env {
		name, value, _ := strings.Cut(line, "=")
		if what := secretIn(name, value); what != "" {
			told[name] = true
			seen = append(seen, doctor.Bad(at, "its variable "+name+" "+what, leaked))
		}
	}
	for i, step := range c.History {
		for _, name := range assignments(step.By) {
			if !told[name.name] {
				told[name.name] = true
				seen = append(seen, doctor.Bad(at, fmt.Sprintf("step %d of its history sets %s, which %s", i+1,
					name.name,
					name.what), leaked))
			}
		}
	}
	return seen
}

// dockerfiles looks at the Dockerfiles in a folder.
func dockerfiles(ctx context.Context, root string) (seen []doctor.Seen) {
	err := filesOf(ctx, root, func(name string, content []byte) {
		if !isDockerfile(name) {
			return
		}
		clean := true
		for i, line := range strings.Split(string(content), "\n") {
			for _, found := range assignments(strings.TrimSpace(line)) {
				clean = false
				s := doctor.Bad(name, found.name+" "+found.what, leaked)
				s.File, s.Line = name, i+1
				seen = append(seen, s)
			}
			if file, is := copiesSecret(line); is {
				clean = false
				s := doctor.Doubtful(name, "it copies "+file+" into the image",
					"leave it out by .dockerignore; "+leaked)
				s.File, s.Line = name, i+1
				seen = append(seen, s)
			}
		}
		if clean {
			seen = append(seen, doctor.Good(name, "no line of it has a secret"))
		}
	})
	if err != nil {
		seen = append(seen, doctor.DarkBy(root, err))
	}
	return seen
}

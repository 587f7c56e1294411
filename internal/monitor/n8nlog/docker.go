package n8nlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"sallyport/internal/dockerapi"
	"sallyport/internal/fault"
	"sallyport/internal/pause"
)

// againAfter is how long after the end of a connection it is made again.
const againAfter = 2 * time.Second

// container is the log of a container, which may be stopped, started and made again.
type container struct {
	host, name string
	position   position
}

// position is how far a log with a time before each line has been read.
type position struct {
	since time.Time // where to go on; of another connection, lines before it are known
	known time.Time // lines before it are known in this connection, in which times may be equal, or out of order
}

// begin begins with another connection.
func (p *position) begin() { p.known = p.since }

// fresh takes the time off a line, and tells whether the line is new. What has no time is new.
func (p *position) fresh(line []byte) ([]byte, bool) {
	stamp, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		stamp, rest = line, nil
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp[:min(len(stamp), 40)]))
	if err != nil {
		return line, true
	}
	if at.Before(p.known) {
		return nil, false
	}
	if next := at.Add(time.Nanosecond); next.After(p.since) {
		p.since = next
	}
	return rest, true
}

func parseDocker(node, what string) (Named, error) {
	name, query, _ := strings.Cut(what, "?")
	values, err := url.ParseQuery(query)
	if err != nil || name == "" || strings.HasPrefix(name, "-") || len(values) > 1 ||
		len(values) == 1 && !values.Has("host") {
		return Named{}, fault.WithHint(fmt.Errorf("reading --n8n-logs: docker:%s names no container", what),
			"docker:NAME, or docker:NAME?host=unix:///var/run/docker.sock")
	}
	host := values.Get("host")
	if host == "" {
		host = client.DefaultDockerHost
	}
	return Named{orNode(node, name), &container{host: host, name: name}}, nil
}

func (c *container) follow(ctx context.Context, to *sink) error {
	api, err := dockerapi.Dial(c.host)
	if err != nil {
		to.away(err)
		return err
	}
	defer api.Close() //nolint:errcheck // nothing is left to be done with it
	c.position.since = to.w.Now()
	for ctx.Err() == nil {
		to.away(c.read(ctx, api, to))
		if err := pause.For(ctx, againAfter); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// read reads one connection to its end. What the engine's client bounds is gone on with.
func (c *container) read(ctx context.Context, api *client.Client, to *sink) error {
	found, err := api.ContainerInspect(ctx, c.name, client.ContainerInspectOptions{})
	if err != nil {
		return fmt.Errorf("looking at container %q: %w", c.name, err)
	}
	body, err := api.ContainerLogs(ctx, c.name, client.ContainerLogsOptions{
		ShowStdout: true, ShowStderr: true, Follow: true, Timestamps: true,
		Since: c.position.since.UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		return fmt.Errorf("reading the log of container %q: %w", c.name, err)
	}
	defer body.Close() //nolint:errcheck // read only
	to.here()
	c.position.begin()
	out, errs := c.position.lines(to), c.position.lines(to)
	if found.Container.Config != nil && found.Container.Config.Tty {
		_, err = io.Copy(out, body)
	} else {
		_, err = stdcopy.StdCopy(out, errs, body)
	}
	out.end()
	errs.end()
	if err == nil && found.Container.State != nil && !found.Container.State.Running {
		return errors.New("the container does not run")
	}
	return err
}

// lines are those of a stream with times, as a sink takes them.
func (p *position) lines(to *sink) *lines {
	return &lines{give: func(line []byte, long bool) {
		if text, fresh := p.fresh(line); fresh {
			to.line(text, long)
		}
	}}
}

//go:build linux

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

const (
	// patience is how long a loaded machine may take for what normally takes seconds.
	patience = 2 * time.Minute
	// farewell is how long the engine may take to stop its containers.
	farewell = 30 * time.Second

	// Image is an image of links into /usr, where containers have this machine's.
	Image = "sallyport-test:1"
)

// Engine is a Docker engine that manages a swarm of one node.
type Engine struct {
	Host   string // unix:///…, as DOCKER_HOST has it
	Client *client.Client

	dir     string
	process *exec.Cmd
	done    chan struct{} // closed when process has ended
}

// launch starts an engine in dir.
func launch(dir string) (*Engine, error) {
	e := &Engine{Host: "unix://" + filepath.Join(dir, "docker.sock"), dir: dir}
	var err error
	if e.Client, err = client.New(client.WithHost(e.Host)); err != nil {
		return nil, err
	}
	if err := e.run(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience) //nolint:forbidigo // the engine outlives the test that starts it
	defer cancel()
	if err := e.prepare(ctx); err != nil {
		e.stop()
		return nil, fmt.Errorf("%w: %s", err, e.Log())
	}
	return e, nil
}

// run starts the process. It is the first one of its world: when it ends, as it does with the test, the kernel ends all
// others there.
func (e *Engine) run() error {
	log, err := os.OpenFile(filepath.Join(e.dir, "dockerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	below := func(name string) string { return filepath.Join(e.dir, name) }
	e.process = exec.Command("/bin/sh", "-c", `mount -t proc proc /proc && ip link set lo up && exec "$@"`, "sh", //nolint:gosec,noctx // programs that were looked up; they outlive the test that starts them
		lookPath("dockerd"), "--host", e.Host, "--data-root", below("data"), "--exec-root", below("exec"),
		"--pidfile", below("pid"),
		"--containerd-namespace", filepath.Base(e.dir), "--containerd-plugins-namespace",
		filepath.Base(e.dir)+"-plugins")
	e.process.Env = []string{"PATH=" + path(), "HOME=" + e.dir}
	e.process.Stdout, e.process.Stderr = log, log
	e.process.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig: syscall.SIGKILL,
	}
	if err := errors.Join(e.process.Start(), log.Close()); err != nil {
		return err
	}
	e.done = make(chan struct{})
	go func() { // ends with the process, which stop waits for
		defer close(e.done)
		_ = e.process.Wait()
	}()
	return nil
}

// prepare waits for the engine, makes the swarm and the image.
func (e *Engine) prepare(ctx context.Context) error {
	if err := e.await(ctx, func() bool {
		_, err := e.Client.Ping(ctx, client.PingOptions{})
		return err == nil
	}); err != nil {
		return fmt.Errorf("waiting for the engine: %w", err)
	}
	if _, err := e.Client.SwarmInit(ctx, client.SwarmInitOptions{
		ListenAddr:    "127.0.0.1:2377",
		AdvertiseAddr: "127.0.0.1",
	}); err != nil {
		return fmt.Errorf("making a swarm: %w", err)
	}
	out, err := e.Client.ImageImport(ctx, client.ImageImportSource{Source: rootfs(), SourceName: "-"}, Image,
		client.ImageImportOptions{})
	if err != nil {
		return fmt.Errorf("importing the image: %w", err)
	}
	_, err = io.Copy(io.Discard, out)
	return errors.Join(err, out.Close())
}

// rootfs is the image: what is not a link is mounted over.
func rootfs() io.Reader {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"usr", "tmp", "proc", "etc"} {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}) // to memory
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "usr/" + name, Mode: 0o777})
	}
	_ = w.Close()
	return &b
}

// await asks until it is so, the engine has ended, or ctx has.
func (e *Engine) await(ctx context.Context, isSo func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !isSo() {
		select {
		case <-e.done:
			return errors.New("the engine has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Log is the end of what the engine has written.
func (e *Engine) Log() string {
	b, _ := os.ReadFile(filepath.Join(e.dir, "dockerd.log"))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// stop lets the engine end its containers, which leaves nothing in the machine's control groups, and then ends what is
// left.
func (e *Engine) stop() {
	_ = e.Client.Close()
	_ = e.process.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-e.done:
	case <-timer.C:
		_ = e.process.Process.Kill()
		<-e.done
	}
}

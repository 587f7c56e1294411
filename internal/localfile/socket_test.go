package localfile_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"sallyport/internal/localfile"
)

const socketChild = "SALLYPORT_TEST_SOCKET"

// TestMain is also the other user, who connects to a socket, or listens on one.
func TestMain(m *testing.M) {
	what, path, _ := strings.Cut(os.Getenv(socketChild), ":")
	if as, ok := strings.CutPrefix(what, "dial as "); ok {
		fmt.Println(dialAs(as, path))
		os.Exit(1)
	}
	switch what {
	case "dial":
		conn, err := net.Dial("unix", path)
		if err == nil {
			_, _ = conn.Write([]byte("hello"))
			_, err = conn.Read(make([]byte, 1))
		}
		fmt.Println(err)
	case "listen":
		l, err := net.Listen("unix", path)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = os.Chmod(path, 0o777)
		fmt.Println("listening")
		conn, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			return
		}
		b, _ := io.ReadAll(conn)
		fmt.Printf("received %d bytes\n", len(b))
	default:
		os.Exit(m.Run())
	}
}

// dialAs begins this program again as from the session of another person, to dial. A thread can say so of itself alone,
// and the program begins as the thread that calls exec, whichever that is.
func dialAs(uid, path string) error {
	runtime.LockOSThread()
	if err := os.WriteFile("/proc/thread-self/loginuid", []byte(uid), 0); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, []string{socketChild + "=dial:" + path})
}

// TestSocket lies in its directory, however long the path is, and nowhere else.
func TestSocket(t *testing.T) {
	for name, deep := range map[string]string{"short": "d", "long": strings.Repeat("deep/", 40)} {
		t.Run(name, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			dir := filepath.Join(t.TempDir(), deep)
			made, err := localfile.MakeDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer made.Close()
			if _, err := made.DialUnix(t.Context(), "s"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nobody listens: got %v", err)
			}
			for range 2 {
				talk(t, made)
			}
			if got := names(t, dir); len(got) != 0 {
				t.Errorf("left behind: %q", got)
			}
			if got := names(t, temporary); len(got) != 0 {
				t.Errorf("in the temporary folder: %q", got)
			}
			write(t, filepath.Join(dir, "s"), "someone's")
			if _, err := made.ListenUnix(t.Context(), "s", nil); err == nil {
				t.Error("a file was replaced")
			}
		})
	}
}

// talk has both sides say a word, over a socket that a dead process left there.
func talk(t *testing.T, d *localfile.Dir) {
	t.Helper()
	l, err := d.ListenUnix(t.Context(), "s", func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	info, err := d.Lstat("s")
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("got %v %v", info.Mode(), err)
	}
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("word"))
			_ = conn.Close()
		}
	}()
	conn, err := d.DialUnix(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); err != nil || string(b) != "word" {
		t.Errorf("got %q %v", b, err)
	}
	if err := errors.Join(conn.Close(), l.Close()); err != nil {
		t.Error(err)
	}
}

// TestSocketOfAnother: a process of another user is turned away, and one that took the name first is not talked to.
// Only root can start one; TestTrust has the decision for everybody.
func TestSocketOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	dir, err := os.MkdirTemp("/tmp", "sallyport-socket-") //nolint:usetesting // the other user has to get into it
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self := filepath.Join(dir, "test")
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o777), os.WriteFile(self, program, 0o755)); err != nil {
		t.Fatal(err)
	}
	another := func(what string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = []string{socketChild + "=" + what + ":" + filepath.Join(dir, "s")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(stranger()),
			Gid: uint32(stranger()), NoSetGroups: true,
		}}
		return cmd
	}
	d := open(t, dir)

	turned := make(chan error, 1)
	l, err := d.ListenUnix(t.Context(), "s", func(err error) { turned <- err })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "s"), 0o777); err != nil {
		t.Fatal(err)
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			t.Errorf("accepted %v", conn)
		}
	}()
	out, err := another("dial").Output()
	if err != nil || strings.TrimSpace(string(out)) == "<nil>" {
		t.Errorf("another user's connection: got %q %v", out, err)
	}
	if err := <-turned; !errors.Is(err, localfile.ErrPeer) {
		t.Errorf("got %v, want ErrPeer", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}

	first := another("listen")
	stdout, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("listening\n"))); err != nil {
		t.Fatal(err)
	}
	if conn, err := d.DialUnix(t.Context(), "s"); !errors.Is(err, localfile.ErrPeer) {
		t.Errorf("another user's socket: got %v %v, want ErrPeer", conn, err)
	}
	said, err := io.ReadAll(stdout)
	if err = errors.Join(err, first.Wait()); err != nil || string(said) != "received 0 bytes\n" {
		t.Errorf("the other user: %q %v", said, err)
	}
}

// TestSocketIsClosedOnce: a server and the one that stops it close the same listener, at the same time.
func TestSocketIsClosedOnce(t *testing.T) {
	for name, deep := range map[string]string{"short": "d", "long": strings.Repeat("deep/", 40)} {
		t.Run(name, func(t *testing.T) {
			dir, err := localfile.MakeDir(filepath.Join(t.TempDir(), deep))
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			for range 50 {
				l, err := dir.ListenUnix(t.Context(), "s", func(error) {})
				if err != nil {
					t.Fatal(err)
				}
				closed := make(chan error, 4)
				for range cap(closed) {
					go func() { closed <- l.Close() }()
				}
				for range cap(closed) {
					if err := <-closed; err != nil && (!errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed)) {
						t.Fatalf("got %v", err)
					}
				}
			}
		})
	}
}

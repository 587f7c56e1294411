package syslog_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/audit/sink"
	"sallyport/internal/audit/sink/syslog"
	"sallyport/internal/testkit"
)

// rsyslog is a real server, configured as the page of the kind says.
type rsyslog struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
	said    bytes.Buffer
}

func startRsyslog(t *testing.T) (server *rsyslog, certFile string) {
	t.Helper()
	_, err := exec.LookPath("rsyslogd")
	testkit.RequireTool(t, "rsyslogd", err == nil, "apt-get install rsyslog rsyslog-gnutls")
	_, certFile, keyFile := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rsyslog{t: t, dir: t.TempDir(), address: l.Addr().String()}
	_, port, _ := net.SplitHostPort(r.address)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	page := syslog.Kind().Page
	_, config, found := strings.Cut(page, "\n```\nglobal(")
	config, _, _ = strings.Cut("global("+config, "```")
	if !found {
		t.Fatal("the page has no configuration of rsyslog")
	}
	config = strings.NewReplacer(
		"/etc/rsyslog/ca.pem", certFile, "/etc/rsyslog/server.crt", certFile, "/etc/rsyslog/server.key", keyFile,
		"/var/log/sallyport.jsonl", r.out(), `port="6514"`, fmt.Sprintf("port=%q address=%q", port, "127.0.0.1"),
		"global(", fmt.Sprintf("global(workDirectory=%q ", r.dir),
	).Replace(config)
	if err := os.WriteFile(filepath.Join(r.dir, "rsyslog.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	t.Cleanup(r.kill)
	return r, certFile
}

func (r *rsyslog) out() string { return filepath.Join(r.dir, "sallyport.jsonl") }

// start returns when it listens.
func (r *rsyslog) start() {
	r.t.Helper()
	r.cmd = exec.Command("rsyslogd", "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"),
		"-i", filepath.Join(r.dir, "pid"))
	r.cmd.Stdout, r.cmd.Stderr = &r.said, &r.said
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.until("rsyslog listens", func() bool {
		conn, err := net.Dial("tcp", r.address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (r *rsyslog) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	_ = os.Remove(filepath.Join(r.dir, "pid"))
}

func (r *rsyslog) until(what string, done func() bool) {
	r.t.Helper()
	end, tick := time.NewTimer(time.Minute), time.NewTicker(10*time.Millisecond)
	defer end.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end.C:
			r.t.Fatalf("within a minute it did not happen that %s: %s", what, &r.said)
		}
	}
}

// TestRsyslog: a real server, configured as the page says, has each record as it stands, and after it was killed too.
func TestRsyslog(t *testing.T) {
	server, ca := startRsyslog(t)
	settings := &syslog.Settings{
		Address: server.address, Facility: "local0", AppName: "sallyport", CAFile: ca, Ack: "close",
	}
	opened, err := settings.Open(t.Context(), sink.Host{Hostname: "gate1"})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	large := `{"seq":2,"detail":"` + strings.Repeat("ü", 30000) + `"}`
	texts := []string{`{"seq":1,"detail":"<34>1 \u0000 % ] \\\""}`, large, `{"seq":3}`}
	var batch []sink.Item
	for i, text := range texts {
		batch = append(batch, sink.Item{Seq: i + 1, Time: time.Now(), Log: "log1", Text: []byte(text)})
	}
	if err := opened.Ship(t.Context(), batch); err != nil {
		t.Fatalf("%v; %s", err, &server.said)
	}
	has := func(texts ...string) func() bool {
		return func() bool {
			content, err := os.ReadFile(server.out())
			if err != nil {
				return false
			}
			for _, text := range texts {
				if !strings.Contains("\n"+string(content), "\n"+text+"\n") {
					return false
				}
			}
			return true
		}
	}
	server.until("all records are in its file", has(texts...))
	server.kill()
	last := sink.Item{Seq: 4, Time: time.Now(), Log: "log1", Text: []byte(`{"seq":4}`)}
	if err := opened.Ship(t.Context(), []sink.Item{last}); err == nil {
		t.Fatal("what a server that is not there was sent counts as shipped")
	}
	server.start()
	if err := opened.Ship(t.Context(), []sink.Item{last}); err != nil {
		t.Fatal(err)
	}
	server.until("the last one is there", has(string(last.Text)))
}

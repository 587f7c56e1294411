package cli_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// world is what a script has running.
type world struct {
	gate *exec.Cmd
	log  *gateLog
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// exits runs a program and wants its exit code: exits CODE PROGRAM ARG…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	code := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("%s exits with %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// gate runs `sallyport serve ARG…` in the background, waits until /readyz says yes, and sets GATE and ADMIN.
func gate(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	program, err := exec.LookPath("sallyport")
	ts.Check(err)
	cmd := exec.Command(program, append([]string{"serve"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "TMPDIR="+ts.Getenv("TMPDIR"))
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	w.gate, w.log = cmd, newGateLog(bufio.NewScanner(stderr))
	ts.Defer(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = w.log.wait(cmd)
		}
	})
	gateway, admin, ok := w.log.serving()
	if !ok {
		ts.Fatalf("the gate did not come up:\n%s", w.log.text())
	}
	ts.Setenv("GATE", gateway)
	ts.Setenv("ADMIN", admin)
	if resp, err := http.Get(admin + "/readyz"); err != nil || resp.StatusCode != http.StatusOK {
		ts.Fatalf("the gate is not ready: %v %v", resp, err)
	}
}

// stops sends the gate a signal (default TERM), waits for its end, and leaves its log in the file gate.log.
func stops(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	sig := syscall.SIGTERM
	if slices.Contains(args, "KILL") {
		sig = syscall.SIGKILL
	}
	ts.Check(w.gate.Process.Signal(sig))
	if err := w.log.wait(w.gate); (err != nil) != (sig == syscall.SIGKILL) {
		ts.Fatalf("the gate ended with %v:\n%s", err, w.log.text())
	}
	ts.Check(os.WriteFile(ts.MkAbs("gate.log"), []byte(w.log.text()), 0o600))
}

// gateLog reads a gate's log to its end.
type gateLog struct {
	mu    sync.Mutex
	lines []string
	up    chan [2]string
	done  chan struct{}
}

var servingLine = regexp.MustCompile(`msg=serving gateway=(\S+) admin=(\S+)`)

func newGateLog(scanner *bufio.Scanner) *gateLog {
	l := &gateLog{up: make(chan [2]string, 1), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for scanner.Scan() {
			l.mu.Lock()
			l.lines = append(l.lines, scanner.Text())
			l.mu.Unlock()
			if m := servingLine.FindStringSubmatch(scanner.Text()); m != nil {
				l.up <- [2]string{m[1], m[2]}
			}
		}
	}()
	return l
}

func (l *gateLog) serving() (gateway, admin string, ok bool) {
	select {
	case at := <-l.up:
		return at[0], at[1], true
	case <-l.done:
		return "", "", false
	}
}

func (l *gateLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n") + "\n"
}

// wait waits for the end of the log, then of the process.
func (l *gateLog) wait(cmd *exec.Cmd) error {
	<-l.done
	return cmd.Wait()
}

// standIn runs an API that answers "key N" to a request with the N-th of the keys as Bearer, and 401 to others; it sets
// API.
func standIn(ts *testscript.TestScript, neg bool, keys []string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := slices.Index(keys, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		switch {
		case n < 0:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			fmt.Fprintf(w, "key %d, %s %s\n", n+1, r.Method, r.URL.Path)
		}
	}))
	ts.Defer(server.Close)
	ts.Setenv("API", server.URL)
}

// n8n runs a stand-in for n8n's public API, sets N8N, and keeps the value it was given in the file n8n.value. The file
// n8n.mode says how it answers: ok, refuse or break.
func n8n(ts *testscript.TestScript, neg bool, args []string) {
	modeFile, valueFile := ts.MkAbs("n8n.mode"), ts.MkAbs("n8n.value")
	server := httptest.NewServer(n8nStandIn(modeFile, valueFile))
	ts.Defer(server.Close)
	ts.Setenv("N8N", server.URL)
}

func n8nStandIn(modeFile, valueFile string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var patch struct {
			Data struct{ Value string }
		}
		mode, _ := os.ReadFile(modeFile)
		err := json.NewDecoder(r.Body).Decode(&patch)
		switch {
		case err != nil || r.Method != http.MethodPatch || r.Header.Get("X-N8N-API-KEY") != "n8n_api_key_value":
			w.WriteHeader(http.StatusUnauthorized)
		case bytes.HasPrefix(mode, []byte("refuse")):
			w.WriteHeader(http.StatusForbidden)
		case bytes.HasPrefix(mode, []byte("break")):
			w.WriteHeader(http.StatusBadGateway)
		default:
			_ = os.WriteFile(valueFile, []byte(patch.Data.Value), 0o600)
			fmt.Fprint(w, `{"id":"0123456789abcdef","name":"Sallyport","type":"httpHeaderAuth"}`)
		}
	}
}

// mode wants a file's permission bits: mode 0600 FILE…
func mode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, name := range args[1:] {
		info, err := os.Stat(ts.MkAbs(name))
		ts.Check(err)
		if got := info.Mode().Perm(); (got == os.FileMode(want)) == neg {
			ts.Fatalf("%s has mode %04o", name, got)
		}
	}
}

// into sets a variable to a file's content, or to what the last program printed, without its last line break: into NAME
// stdout
func into(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile(args[1]), "\n"))
}

// found sets a variable to what the group of a pattern matches in what the last program printed: found NAME PATTERN
func found(ts *testscript.TestScript, neg bool, args []string) {
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if neg || len(m) != 2 {
		ts.Fatalf("%q is not in what was printed", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// sed replaces a text in a file; it has to be there: sed FILE OLD NEW. With ! nothing of it may be there.
func sed(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if found := strings.Contains(text, args[1]); found == neg {
		ts.Fatalf("%q in %s: %t", args[1], args[0], found)
	}
	if !neg {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o600))
	}
}

// fill makes a file of N bytes: fill N FILE
func fill(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), bytes.Repeat([]byte("x"), n), 0o600))
}

// chomp takes the last line break off a file; a txtar file has one always.
func chomp(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.TrimSuffix(ts.ReadFile(args[0]), "\n")), 0o600))
}

// sqlStatements does SQL statements on an SQLite file, as someone who writes there would: sql FILE STATEMENT… In a
// statement \e stands for escape, \n for a line break, and \u202e for the character that turns text around.
func sqlStatements(ts *testscript.TestScript, neg bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	written := strings.NewReplacer(`\e`, "\x1b", `\n`, "\n", `\u202e`, "\u202e")
	for _, statement := range args[1:] {
		_, err := db.Exec(written.Replace(statement))
		ts.Check(err)
	}
}

// until runs a program again and again, for a minute at most, until it prints a text: until TEXT PROGRAM ARG…
func until(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(time.Minute); ; {
		err := ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("within a minute %s did not print %q; %v", strings.Join(args[1:], " "), args[0], err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// shows runs a program, whatever its exit code: it has to print something, and nothing that commands a terminal, turns
// text around or looks like a row of its own: shows PROGRAM ARG…
func shows(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[0], args[1:]...)
	text := ts.ReadFile("stdout") + "\n" + ts.ReadFile("stderr")
	if strings.TrimSpace(text) == "" {
		ts.Fatalf("it prints nothing: %v", err)
	}
	if strings.ContainsAny(text, "\x1b\u009b\u202e\u200b") || strings.Contains(text, "\nFORGED") {
		ts.Fatalf("it prints what commands a terminal: %q", text)
	}
}

package cli_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(runner(func() int { return postgres.Main(m) }), map[string]func(){
		"sallyport": func() { os.Exit(sallyport()) },
		"call":      func() { os.Exit(call(os.Args[1:])) },
		"login":     func() { os.Exit(login(os.Args[1:])) },
		"consents":  func() { os.Exit(consents(os.Args[1:])) },
		"followed":  func() { os.Exit(followed(os.Args[1:])) },
		"n8nnode":   func() { os.Exit(n8nnode(os.Args[1:])) },
	})
}

type runner func() int

// Run implements testscript.TestingM.
func (r runner) Run() int { return r() }

// sallyport is cmd/sallyport.
func sallyport() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return int(cli.Main(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// login runs a program as from the session of another person, which only root can begin: login UID PROGRAM ARG…
//
// A thread can say so of itself alone, and the program begins as the thread that calls exec, whichever that is.
func login(args []string) int {
	runtime.LockOSThread()
	path, err := exec.LookPath(args[1])
	if err == nil {
		err = os.WriteFile("/proc/thread-self/loginuid", []byte(args[0]), 0)
	}
	if err == nil {
		err = syscall.Exec(path, args[1:], os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// call sends one request and prints what came back, head and body: call [METHOD] URL [NAME:VALUE]…
func call(args []string) int {
	method := http.MethodGet
	if !strings.HasPrefix(args[0], "http") {
		method, args = args[0], args[1:]
	}
	req, err := http.NewRequest(method, args[0], http.NoBody)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, field := range args[1:] {
		name, value, _ := strings.Cut(field, ":")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{}).RoundTrip(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(resp.Status)
	_ = resp.Header.Write(os.Stdout)
	fmt.Println()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestScripts(t *testing.T) {
	pipelines, err := filepath.Abs("../../deploy/ci")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATA", "sallyport-data")
			e.Setenv("SCRIPTS", pipelines)
			e.Values[worldKey{}] = &world{}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"pipeline": pipeline,
			"gate":     gate,
			"stops":    stops,
			"api":      standIn,
			"n8n":      n8n,
			"tokens":   tokens,
			"mode":     mode,
			"into":     into,
			"found":    found,
			"sed":      sed,
			"fill":     fill,
			"chomp":    chomp,
			"sql":      sqlStatements,
			"until":    until,
			"shows":    shows,

			"recorded": record(t),
		},
	})
}

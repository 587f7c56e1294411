package cli_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"sallyport/internal/testkit/tokenserver"
)

// consents runs `sallyport ARG…` with a person beside it who opens the page that it names, at which everybody consents:
// consents ARG…
func consents(args []string) int {
	cmd := exec.Command("sallyport", args...)
	cmd.Stdout = os.Stdout
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		fmt.Fprintln(os.Stderr, lines.Text())
		for line := range strings.SplitSeq(told(lines.Text()), "\n") {
			if page, ok := strings.CutPrefix(line, "  http"); ok {
				visit("http" + page)
			}
		}
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// told is a line of standard error as a person reads it: with --json it is in a note.
func told(line string) string {
	var note struct{ Note string }
	if json.Unmarshal([]byte(line), &note) == nil {
		return note.Note
	}
	return line
}

func visit(page string) {
	resp, err := http.Get(page)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
}

// tokens runs a token server with the client "client" and sets TOKENS; with the argument deny nobody consents there.
func tokens(ts *testscript.TestScript, neg bool, args []string) {
	s := tokenserver.New()
	s.Clients["client"] = tokenserver.Client{Auth: "basic", Secret: "client-secret-canary"}
	s.Deny = len(args) > 0 && args[0] == "deny"
	server := httptest.NewServer(s)
	ts.Defer(server.Close)
	s.URL = server.URL
	ts.Setenv("TOKENS", server.URL)
}

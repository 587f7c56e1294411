package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/cli"
	"sallyport/internal/monitor/alerts"
)

var namedCommand = regexp.MustCompile("(?m)^(sallyport .*)$|`(sallyport [^`]+)`")

// TestRunbooks: each alert has its page, each page its alert, and every command on it is one of ours.
func TestRunbooks(t *testing.T) {
	top := filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(top, "docs", "operations", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	orphans := map[string]bool{}
	for _, file := range files {
		orphans[filepath.Base(file)] = true
	}
	for _, a := range alerts.All() {
		text, err := os.ReadFile(filepath.Join(top, a.Runbook()))
		if err != nil {
			t.Errorf("the alert %s has no page: %v", a.Name, err)
			continue
		}
		delete(orphans, a.Name+".md")
		before, after, found := strings.Cut(string(text), "\n## How to see it\n\n```sh\n")
		if !found || !strings.HasPrefix(before, "# "+a.Name+"\n\n") || !strings.Contains(after, "\n## What to "+
			"do\n\n1. ") {
			t.Errorf("%s: want what it means, how to see it in commands, and what to do in steps", a.Runbook())
		}
		for _, m := range namedCommand.FindAllStringSubmatch(string(text), -1) {
			wantCommand(t, a.Runbook(), m[1]+m[2])
		}
	}
	for file := range orphans {
		t.Errorf("docs/operations/%s is the page of no alert", file)
	}
	for _, file := range files {
		for _, b := range blocksOf(t, filepath.Join("docs", "operations", filepath.Base(file))) {
			check := exec.CommandContext(t.Context(), "sh", "-n")
			check.Stdin = strings.NewReader(b.text)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v %s", b.where(), err, out)
			}
		}
	}
}

// wantCommand wants a line that a person types to be a command of ours, with flags and a number of arguments that it
// has.
func wantCommand(t *testing.T, page, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " |")
	words := strings.Fields(line)[1:]
	var path []string // of the command: the words before an argument or a flag
	for _, word := range words {
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" || len(path) == 2 {
			break
		}
		path = append(path, word)
	}
	var out, errs bytes.Buffer
	streams := cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}
	exit := cli.Main(t.Context(), append(words, "--help"), streams)
	if usage := "sallyport " + strings.Join(path, " "); exit != 0 || !strings.Contains(out.String(), "\n  "+usage) {
		t.Errorf("%s: %q is no command of ours: exit code %d\n%s%s", page, line, exit, &out, &errs)
	}
}

package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/cli"
)

// TestWatchTellsVisibly: what a log holds is printed as one line of JSON for each event, and commands no terminal; the
// metrics are in the text file whole.
func TestWatchTellsVisibly(t *testing.T) {
	const evil = "\x1b]0;pwned\x07\u202e"
	line, err := json.Marshal(map[string]any{
		"level": "error", "message": `Credentials could not be decrypted. The likely reason is`,
		"metadata": map[string]any{"id": evil, "name": "=cmd|' /C calc'!A0", "type": evil},
	})
	if err != nil {
		t.Fatal(err)
	}
	textfile := filepath.Join(t.TempDir(), "n8n.prom")
	var out, errs bytes.Buffer
	exit := cli.Main(t.Context(), []string{
		"watch", "--n8n-logs", "evil\"}1\n#=-", "--listen", "", "--textfile", textfile,
	}, cli.Streams{In: bytes.NewReader(append(line, "\n"+evil+"\n"...)), Out: &out, Err: &errs})
	if exit != 0 || strings.ContainsAny(out.String()+errs.String(), "\x1b\x07\u202e") {
		t.Errorf("exit code %d: %q %q", exit, &out, &errs)
	}
	var e struct{ Node, Problem string }
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || e.Problem != "credential_undecryptable" {
		t.Errorf("%v: %q", err, &out)
	}
	page, err := os.ReadFile(textfile)
	if want := `sallyport_n8n_problems_total{node="evil\"}1\n#",problem="credential_undecryptable"} 1`; err != nil ||
		!strings.Contains(string(page), want) {
		t.Errorf("%v: the file has no %s:\n%s", err, want, page)
	}
}

// TestWatchWhat: flags that do not go together, each with what to do.
func TestWatchWhat(t *testing.T) {
	for _, args := range []string{
		"", "--n8n-logs docker:", "--n8n-logs a=- --n8n-logs a=x", "--node main=docker:n8n", "--verify-keys 1s --node a=docker:b",
		"--verify-keys 10m", "--n8n-logs - --listen nowhere:1:2",
	} {
		var out, errs bytes.Buffer
		exit := cli.Main(t.Context(), append([]string{"watch"}, strings.Fields(args)...),
			cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if exit == 0 || !strings.Contains(errs.String(), "hint: ") {
			t.Errorf("%q: exit code %d: %s", args, exit, fmt.Sprint(&errs))
		}
	}
}

package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/testkit"
)

const bashCompletion = "/usr/share/bash-completion/bash_completion"

// typed completes a line as bash does when a person has typed it and presses Tab.
const typed = `source ` + bashCompletion + `
source <(sallyport completion bash)
typed() {
	COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMPREPLY=()
	read -ra COMP_WORDS <<<"$1"
	[[ $1 != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	__start_sallyport 2>/dev/null # which misses the shell's editor
	echo "${COMPREPLY[*]}"
}
`

// TestBashCompletes sources the script of `sallyport completion bash` into a real bash, and asks it for words.
func TestBashCompletes(t *testing.T) {
	_, err := os.Stat(bashCompletion)
	testkit.RequireTool(t, "bash-completion", err == nil, "apt-get install bash-completion")
	home := t.TempDir()
	write(t, filepath.Join(home, "sallyport.yaml"),
		"services: {crm: {upstream: \"https://crm.example.com\", credential: {kind: none}}, erp: {preset: openai, "+
			"secret: ref+file://k}}\n", 0o600)
	for line, want := range map[string]string{
		"sallyport sec":                           "secret",
		"sallyport service test ":                 "crm erp",
		"sallyport service test e":                "erp",
		"sallyport service explain crm P":         "POST PUT PATCH",
		"sallyport token issue n8n --services ":   "crm erp",
		"sallyport token issue n --services crm,": `crm\,erp`, // quoted by the script; the shell takes it for crm,erp
		"sallyport key install --target k":        "kubernetes",
		"sallyport secret list --store=f":         "file",
		"sallyport secret list --store b":         "builtin",
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", typed+`typed "$1"`, "bash", line)
		cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q, and Tab: got %q, %v; want %q", line, got, err, want)
		}
	}
}

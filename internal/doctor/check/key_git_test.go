package check_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/testkit"
)

// repository is a Git repository, and how to ask git in it.
func repository(t *testing.T) (dir string, git func(args ...string)) {
	t.Helper()
	program, err := exec.LookPath("git")
	testkit.RequireTool(t, "git", err == nil, "apt-get install git")
	dir = t.TempDir()
	git = func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{
			"-C", dir, "-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "commit.gpgsign=false",
		}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q", "-b", "main")
	return dir, git
}

func TestKeyGit(t *testing.T) {
	dir, git := repository(t)
	clear := "services:\n  n8n:\n    image: n8nio/n8n\n    environment:\n      - N8N_ENCRYPTION_KEY=" + canary + "\n"
	good := "services:\n  n8n:\n    image: n8nio/n8n\n    environment:\n      - " +
		"N8N_ENCRYPTION_KEY_FILE=/run/secrets/key\n"
	written(t, dir, "README.md", "nothing\n", 0o600)
	git("add", ".")
	git("commit", "-qm", "begin")
	if r := one(t, "key-git", &site.Site{Files: []string{dir}}); r.Status != doctor.OK {
		t.Errorf("nothing in it: %+v", r.Seen)
	}
	written(t, dir, "prod/-compose.yaml", clear, 0o600)
	git("add", ".")
	git("commit", "-qm", "in the clear")
	written(t, dir, "prod/-compose.yaml", good, 0o600)
	git("commit", "-qam", "taken out")

	r := one(t, "key-git", &site.Site{Files: []string{filepath.Join(dir, "prod"), dir}})
	has(t, r, doctor.Failed, "has N8N_ENCRYPTION_KEY in prod/-compose.yaml, line 5")
	if len(r.Seen) != 1 {
		t.Errorf("got %+v", r.Seen)
	}
	commit := r.Seen[0].Evidence[len("commit "):][:12]
	golden(t, "key-git", r, dir, "DIR", commit, "COMMIT")

	// on a branch that is merged nowhere, and under a hostile name
	git("checkout", "-qb", "other")
	written(t, dir, "a\nb\x1b[2J.env", "N8N_ENCRYPTION_KEY="+canary+"x\n", 0o600)
	git("add", ".")
	git("commit", "-qm", "other")
	git("checkout", "-q", "main")
	r = one(t, "key-git", &site.Site{Files: []string{dir}})
	has(t, r, doctor.Failed, "a b\ufffd[2J.env, line 1")

	shallow, into := repository(t)
	into("fetch", "-q", "--depth=1", "file://"+dir, "main")
	into("checkout", "-q", "FETCH_HEAD")
	if r := one(t, "key-git", &site.Site{Files: []string{shallow}}); r.Status != doctor.Unseen {
		t.Errorf("a shallow clone: %+v", r.Seen)
	}
	if r := one(t, "key-git", &site.Site{Files: []string{t.TempDir()}}); r.Status != doctor.Unseen {
		t.Errorf("no repository: %+v", r.Seen)
	}
}

// TestKeyGitRunsNothing: a repository of a stranger runs none of what its configuration names.
func TestKeyGitRunsNothing(t *testing.T) {
	dir, git := repository(t)
	written(t, dir, "x.env", "N8N_ENCRYPTION_KEY="+canary+"\n", 0o600)
	written(t, dir, ".gitattributes", "*.env diff=evil\n", 0o600)
	git("add", ".")
	git("commit", "-qm", "x")
	ran := filepath.Join(t.TempDir(), "ran")
	script := written(t, t.TempDir(), "evil", "#!/bin/sh\ntouch "+ran+"\ncat \"$1\"\n", 0o700)
	for _, key := range []string{
		"core.fsmonitor", "diff.evil.textconv", "diff.evil.command", "diff.external", "core.pager", "pager.log",
		"gpg.program", "core.sshCommand",
	} {
		git("config", key, script)
	}
	git("config", "log.showSignature", "true")
	r := one(t, "key-git", &site.Site{Files: []string{dir}})
	has(t, r, doctor.Failed, "in x.env")
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program that the repository names has run")
	}
}

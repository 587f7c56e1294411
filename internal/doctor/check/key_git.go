package check

import (
	"context"
	_ "embed" // the page
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/fault"
	"sallyport/internal/n8n/lint"
	"sallyport/internal/program"
)

//go:embed key-git.md
var keyGitPage string

func keyGit() doctor.Check {
	return doctor.Check{
		ID: "key-git", Title: "No commit has the master key in it", Severity: doctor.Critical,
		Asks: "The history of each named folder's Git repository: every version of a file in which " +
			"N8N_ENCRYPTION_KEY or a " +
			"chart's encryptionKey came or went.",
		Guide: []string{doctor.GuideKey}, Page: keyGitPage, Look: lookAtGit, Timeout: 5 * time.Minute,
	}
}

// maxVersions bounds how many versions of files are read from one repository.
const maxVersions = 500

func lookAtGit(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	if len(on.Files) == 0 {
		return nil, errNobody("no folder was named", "sallyport doctor FOLDER: the repository that deploys n8n")
	}
	tops := make(map[string]bool)
	for _, root := range on.Files {
		ended := git(ctx, root, "rev-parse", "--show-toplevel")
		if failed(ended) {
			seen = append(seen, doctor.Dark(root, "it is in no Git repository that can be read: "+ended.Said,
				"name a clone with its whole history; in CI, check out with fetch-depth: 0"))
			continue
		}
		if top := strings.TrimSpace(string(ended.Stdout)); !tops[top] {
			tops[top] = true
			found, err := history(ctx, top)
			if err != nil {
				found = append(found, doctor.DarkBy("repository "+top, err))
			}
			seen = append(seen, found...)
		}
	}
	return seen, nil
}

// git asks git, which reads no configuration of the user's, asks nobody for anything, and starts nothing else.
func git(ctx context.Context, dir string, args ...string) program.Ended {
	if !filepath.IsAbs(dir) {
		dir = "./" + dir // it may begin with a dash
	}
	argv := []string{
		"git", "-C", dir, "-c", "core.fsmonitor=false", "-c", "log.showSignature=false",
		"-c", "core.hooksPath=/dev/null",
		"-c", "protocol.allow=never", "--no-optional-locks", "--literal-pathspecs",
	}
	return program.Run(ctx, append(argv, args...))
}

func failed(ended program.Ended) bool { return ended.Err != nil || ended.Exit != 0 }

// fileVersion is a file in a commit.
type fileVersion struct{ commit, name string }

func history(ctx context.Context, top string) (seen []doctor.Seen, err error) {
	at := "repository " + top
	shallow := git(ctx, top, "rev-parse", "--is-shallow-repository")
	if strings.TrimSpace(string(shallow.Stdout)) == "true" {
		seen = append(seen, doctor.Dark(at, "its history is cut off (a shallow clone)",
			"git fetch --unshallow; in CI, check "+
				"out with fetch-depth: 0"))
	}
	listed := git(ctx, top, "log", "--all", "--no-renames", "--no-ext-diff", "--no-textconv", "-z", "--format=%x01%H",
		"--name-only", "-G", `N8N_ENCRYPTION_KEY|encryptionKey`)
	switch {
	case ctx.Err() != nil:
		return seen, ctx.Err()
	case failed(listed):
		return seen, fault.WithHint(fmt.Errorf("reading the history: %s", listed.Said), "does `git log` work there?")
	}
	versions, whole := versionsIn(listed.Stdout)
	if !whole || len(listed.Stdout) == program.MaxStdout {
		seen = append(seen, doctor.Dark(at, fmt.Sprintf("it has more versions than are read (%d)", maxVersions),
			"look with a scanner of whole histories, such as gitleaks"))
	}
	found := 0
	told := make(map[string]bool) // one and the same line comes again with every commit that leaves it
	for _, v := range versions {
		content := git(ctx, top, "cat-file", "blob", v.commit+":"+v.name)
		if ctx.Err() != nil {
			return seen, ctx.Err()
		}
		if failed(content) {
			continue // the commit removes the file
		}
		list, _ := lint.Check(v.name, content.Stdout)
		for _, f := range list {
			if f.Mistake != lint.MistakeClear {
				continue // a mistake, and no secret
			}
			line := fmt.Sprintf("%s\x00%s\x00%s", v.name, f.Variable, lineOf(content.Stdout, f.Line))
			if found++; told[line] {
				continue
			}
			told[line] = true
			seen = append(seen, doctor.Bad(at, fmt.Sprintf("commit %.12s has %s in %s, line %d: %s", v.commit,
				f.Variable,
				v.name, f.Line, f.Problem), "change the key: `sallyport key rekey --leaked`; to rewrite history "+
				"takes it from "+
				"nobody who has a clone"))
		}
	}
	if found == 0 {
		seen = append(seen, doctor.Good(at, fmt.Sprintf("none of %d versions of files that name the key has one",
			len(versions))))
	}
	return seen, nil
}

// versionsIn reads what `git log -z --format=%x01%H --name-only` prints: ^AHASH, then names, each ended by a NUL.
func versionsIn(text []byte) (list []fileVersion, whole bool) {
	commit := ""
	for part := range strings.SplitSeq(string(text), "\x00") {
		part = strings.Trim(part, "\n")
		if hash, is := strings.CutPrefix(part, "\x01"); is {
			commit = hash
			continue
		}
		if part == "" || commit == "" {
			continue
		}
		if len(list) == maxVersions {
			return list, false
		}
		list = append(list, fileVersion{commit, part})
	}
	return list, true
}

func lineOf(content []byte, n int) string {
	lines := strings.Split(string(content), "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return lines[n-1]
}

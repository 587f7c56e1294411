package check

import (
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/localfile"
	"sallyport/internal/n8n/lint"
)

//go:embed key-files.md
var keyFilesPage string

func keyFiles() doctor.Check {
	return doctor.Check{
		ID: "key-files", Title: "No file that starts n8n has the master key in it", Severity: doctor.Critical,
		Asks: "Compose files, charts, manifests, files of variables, units and Dockerfiles: do they take the master " +
			"key " +
			"from a secret of the orchestrator?",
		Guide: []string{doctor.GuideKey}, Page: keyFilesPage, Look: lookAtFiles,
	}
}

const (
	maxFiles    = 20_000
	maxFileSize = 1 << 20 // bytes; a file that starts n8n is smaller
)

func lookAtFiles(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	if len(on.Files) == 0 {
		return nil, errNobody("no file or folder was named",
			"sallyport doctor FOLDER: the one with Compose files, charts or manifests")
	}
	for _, root := range on.Files {
		checked := 0
		err := filesOf(ctx, root, func(name string, content []byte) {
			found, n := lint.Check(name, content)
			checked += n
			for _, f := range found {
				seen = append(seen, lintSeen(name, f))
			}
		})
		if err != nil {
			seen = append(seen, doctor.DarkBy(root, err))
			continue
		}
		switch checked {
		case 0:
			seen = append(seen, doctor.Dark(root, "no file there starts n8n or names its master key",
				"is it the right folder?"))
		default:
			seen = append(seen, doctor.Good(root, fmt.Sprintf("looked at %d places that start n8n or set its key",
				checked)))
		}
	}
	return seen, nil
}

// lintSeen is a mistake in a file. With some of them n8n has no key of its own, or everybody has it.
func lintSeen(name string, f lint.Finding) doctor.Seen {
	var todo []string
	if f.First != "" {
		todo = append(todo, f.First)
	}
	if f.Fix != "" {
		todo = append(todo, "write: "+strings.TrimSpace(f.Fix))
	}
	s := doctor.Bad(name, f.Variable+" "+f.Problem, strings.Join(todo, "; "))
	switch f.Mistake {
	case lint.MistakeBoth, lint.MistakeTemplate, lint.MistakeKeyless:
		s.Status = doctor.Warning
	}
	s.File, s.Line = name, f.Line
	return s
}

var (
	startsN8N = regexp.MustCompile(`(?i)(\.ya?ml|\.env|\.service|\.container|\.nomad|\.hcl|\.sh|\.tpl|\.conf)$|^\.env|^\.?env[.-]|dockerfile|containerfile|\.tf$|\.tfvars$`)
	notOurs   = map[string]bool{".git": true, "node_modules": true, ".terraform": true, "vendor": true, ".venv": true}

	errTooMany = errors.New("it has more files than are looked at: name a folder within it")
)

// filesOf calls do with every file at or below root that may start n8n. A file that is named itself is always read.
// Links are not followed.
func filesOf(ctx context.Context, root string, do func(name string, content []byte)) error {
	info, err := os.Stat(root)
	if err != nil {
		return fmt.Errorf("looking at %q: %w", root, bare(err))
	}
	if !info.IsDir() {
		content, err := localfile.ReadContext(ctx, root, maxFileSize)
		if err != nil {
			return fmt.Errorf("reading %q: %w", root, bare(err))
		}
		do(root, content)
		return nil
	}
	n := 0
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if n++; n > maxFiles*5 {
			return errTooMany
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("looking at %q: %w", name, bare(err))
		case d.IsDir() && notOurs[d.Name()]:
			return fs.SkipDir
		case !d.Type().IsRegular() || !startsN8N.MatchString(d.Name()):
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > maxFileSize {
			return nil //nolint:nilerr // it is gone, or is no such file
		}
		content, err := localfile.ReadContext(ctx, name, maxFileSize)
		if err != nil {
			return fmt.Errorf("reading %q: %w", name, bare(err))
		}
		do(name, content)
		return nil
	})
}

// bare is an error of a file without its name, which is said already.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

package process

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

// maxManifest bounds package.json, in bytes. n8n's has some 10,000.
const maxManifest = 1 << 20

var version = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*[0-9A-Za-z.+-]*$`)

// Version is that of the n8n that a command runs, or which the environment's PATH leads to: what its package.json says,
// else N8N_VERSION, which n8n's image sets. It is "" when neither tells. argv may be empty.
func Version(argv []string, lookup func(name string) (string, bool)) string {
	for _, program := range append(n8nIn(argv), onPath(lookup)...) {
		if v := manifestOf(program); v != "" {
			return v
		}
	}
	if v, _ := lookup("N8N_VERSION"); len(v) < 40 && version.MatchString(v) {
		return v
	}
	return ""
}

// Version is that of this n8n.
func (p Process) Version() string { return Version(p.argv, p.Lookup) }

// n8nIn are the arguments that may be n8n's program.
func n8nIn(argv []string) (programs []string) {
	for _, arg := range argv {
		if filepath.IsAbs(arg) && (filepath.Base(arg) == "n8n" || filepath.Base(arg) == "n8n.js") {
			programs = append(programs, arg)
		}
	}
	return programs
}

func onPath(lookup func(string) (string, bool)) (programs []string) {
	folders, _ := lookup("PATH")
	for _, folder := range filepath.SplitList(folders) {
		if filepath.IsAbs(folder) {
			programs = append(programs, filepath.Join(folder, "n8n"))
		}
	}
	return programs
}

// manifestOf reads the version from the package that a program is in: …/n8n/bin/n8n, mostly behind a link.
func manifestOf(program string) string {
	file, err := filepath.EvalSymlinks(program)
	if err != nil {
		return ""
	}
	f, err := os.Open(filepath.Join(filepath.Dir(file), "..", "package.json"))
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	var doc struct{ Name, Version string }
	if json.NewDecoder(io.LimitReader(f, maxManifest)).Decode(&doc) != nil || doc.Name != "n8n" ||
		len(doc.Version) >= 40 || !version.MatchString(doc.Version) {
		return ""
	}
	return doc.Version
}

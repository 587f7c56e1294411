package audit

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ended is a file that a rotation has ended.
type ended struct {
	name     string
	from, to int // its records
}

// endedName is the name of the file beside the log at path that holds these records:
// audit-000000000001-000000012345.jsonl beside audit.jsonl.
func endedName(path string, from, to int) string {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	return fmt.Sprintf("%s-%012d-%012d%s", strings.TrimSuffix(base, ext), from, to, ext)
}

// parseEnded reads a name that endedName has made.
func parseEnded(path, name string) (ended, bool) {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, ext)+"-")
	if !ok {
		return ended{}, false
	}
	first, last, _ := strings.Cut(strings.TrimSuffix(rest, ext), "-")
	e := ended{name: name}
	e.from, _ = strconv.Atoi(first)
	e.to, _ = strconv.Atoi(last)
	return e, e.from > 0 && e.to >= e.from && name == endedName(path, e.from, e.to)
}

// aloneEnded reads the name of a file that someone gives by itself.
func aloneEnded(path string) (ended, bool) {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	parts := strings.Split(strings.TrimSuffix(base, ext), "-")
	if len(parts) < 3 {
		return ended{}, false
	}
	return parseEnded(strings.Join(parts[:len(parts)-2], "-")+ext, base)
}

// endedAmong picks the ended files of the log at path, in the order of their records.
func endedAmong(path string, names []string) []ended {
	var all []ended
	for _, name := range names {
		if e, ok := parseEnded(path, name); ok {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b ended) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	return all
}

// endedBeside lists the ended files of the log at path.
func endedBeside(path string) ([]ended, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close() //nolint:errcheck // read only
	names, err := dir.Readdirnames(-1)
	return endedAmong(path, names), err
}

// beside is the path of a file in the log's folder.
func beside(path, name string) string { return filepath.Join(filepath.Dir(path), name) }

package testkit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Installed returns the folder that the variable SALLYPORT_<NAME>_DIR names, else the newest that tools/<name>/install
// has made for a version ("" for any), or "" where neither has the file. file is a path below the folder.
func Installed(name, version, file string) string {
	candidates := []string{os.Getenv("SALLYPORT_" + strings.ToUpper(name) + "_DIR")}
	if candidates[0] == "" {
		if version != "" {
			version += "-"
		}
		candidates, _ = filepath.Glob(filepath.Join(tools(), name+"-"+version+"*"))
		slices.SortFunc(candidates, func(a, b string) int { return modified(b).Compare(modified(a)) })
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, file)); dir != "" && err == nil { //nolint:gosec // whoever runs the tests chooses
			return dir
		}
	}
	return ""
}

// tools is the folder under which the scripts tools/<name>/install keep what they get.
func tools() string {
	dir := os.Getenv("SALLYPORT_TOOLS")
	if home, err := os.UserHomeDir(); dir == "" && err == nil {
		dir = filepath.Join(home, ".cache", "sallyport-tools")
	}
	return dir
}

// Forgone tells whether CI goes without a program because tools/<name>/install has left word that it is not to be got
// anywhere, which is no fault of what is tested. A test then does not begin what needs it, and .ci/run says so at its
// end. On a laptop nothing is forgone: RequireTool leaves tests out there, and says so.
func Forgone(t testing.TB, name string) bool {
	t.Helper()
	if os.Getenv("CI") != "true" {
		return false
	}
	reason, err := os.ReadFile(filepath.Join(tools(), name+".missing")) //nolint:gosec // whoever runs the tests chooses
	if err != nil {
		return false
	}
	t.Logf("without %s: %s", name, reason)
	return true
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

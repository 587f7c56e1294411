package testkit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Installed returns the folder that the variable SALLYPORT_<NAME>_DIR names, else the newest that tools/<name>/install
// has made for a version ("" for any), or "" where neither has the file. file is a path below the folder.
func Installed(name, version, file string) string {
	candidates := []string{os.Getenv("SALLYPORT_" + strings.ToUpper(name) + "_DIR")}
	if candidates[0] == "" {
		tools := os.Getenv("SALLYPORT_TOOLS")
		if home, err := os.UserHomeDir(); tools == "" && err == nil {
			tools = filepath.Join(home, ".cache", "sallyport-tools")
		}
		if version != "" {
			version += "-"
		}
		candidates, _ = filepath.Glob(filepath.Join(tools, name+"-"+version+"*"))
		slices.SortFunc(candidates, func(a, b string) int { return modified(b).Compare(modified(a)) })
	}
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, file)); dir != "" && err == nil { //nolint:gosec // whoever runs the tests chooses
			return dir
		}
	}
	return ""
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

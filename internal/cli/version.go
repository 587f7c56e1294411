package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// build is what the Go toolchain stamped into this program.
type build struct {
	Version  string `json:"version"`            // of the module: a tag, or the time and commit since the last one
	Commit   string `json:"commit,omitempty"`   // in full; empty when it was not built from a checkout
	Time     string `json:"time,omitempty"`     // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the checkout had changes that were not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func stamped() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = strings.TrimSuffix("devel-"+b.Commit[:min(12, len(b.Commit))], "-")
	}
	return b
}

// Version is the module's version, or the commit it was built from.
func Version() string { return stamped().Version }

func (e *env) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit, and what it was built with",
		Args:  cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			b := stamped()
			return e.print(b, func(w io.Writer) error {
				commit := orDash(b.Commit)
				if b.Modified {
					commit += ", with changes that were not committed"
				}
				_, err := fmt.Fprintf(w, "sallyport %s\n  commit    %s\n  built     %s %s\n", b.Version,
					commit, b.Go, b.Platform)
				return err
			})
		},
	}
}

package cli

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestFilesAreNamedByCommands: whoever looks for a command finds its file by the words of its path.
func TestFilesAreNamedByCommands(t *testing.T) {
	others := map[string]string{
		"sallyport":     "cli.go",
		"help":          "cli.go",
		"completion":    "complete.go",
		"service_test":  "service_call.go", // Go takes service_test.go for a test
		"rotation_test": "rotation_try.go",
	}
	root := (&env{Streams: Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}}).root()
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		name := strings.ReplaceAll(strings.TrimPrefix(c.CommandPath(), "sallyport "), " ", "_")
		file, other := others[strings.SplitN(name, "_", 2)[0]]
		if file == "" {
			file, other = others[name]
		}
		if !other {
			file = name + ".go"
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("the command %q has no file of its own: put it into %s", c.CommandPath(), file)
		}
		for _, below := range c.Commands() {
			look(below)
		}
	}
	look(root)
}

package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/internal/cli"
)

// TestDataIsDescribed: what Sallyport leaves in its data directory stands in docs/threat-model.md, with its mode.
func TestDataIsDescribed(t *testing.T) {
	folder := t.TempDir()
	data, file := filepath.Join(folder, "data"), filepath.Join(folder, "sallyport.yaml")
	for _, command := range [][]string{
		{"init"}, {"secret", "set", "crm"}, {"token", "issue", "n8n", "--services", "crm"}, {"audit", "verify"},
	} {
		var out bytes.Buffer
		args := append(command, "--config", file, "--data", data)
		if exit := cli.Main(t.Context(), args, cli.Streams{
			In: strings.NewReader(pageKey), Out: &out,
			Err: &out,
		}); exit != 0 {
			t.Fatalf("%v ends with %d: %s", command, exit, &out)
		}
		if command[0] == "init" {
			write(t, file,
				"services: {crm: {upstream: https://crm.example.com, credential: {kind: header, header: X-API-Key, "+
					"secret: ref+builtin://crm}}}\n", 0o600)
		}
	}
	page, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	modes := describedModes(string(page))
	entries, err := os.ReadDir(data)
	if err != nil || len(entries) < 5 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(entry.Name(), ".lock") // what is locked has the same mode
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); modes[name] != got {
			t.Errorf("%s has mode %s, and the page says %q", entry.Name(), got, modes[name])
		}
	}
}

// describedModes reads the rows that name files and end with their modes: one for all, or one for each.
func describedModes(page string) map[string]string {
	modes := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| ((?:`[a-z./]+`(?:, )?)+) \\| .* \\| (0\\d{3})(?:, (0\\d{3}))? "+
		"\\|$").FindAllStringSubmatch(page, -1) {
		for i, name := range regexp.MustCompile("`([a-z.]+)/?`").FindAllStringSubmatch(row[1], -1) {
			modes[name[1]] = row[2]
			if i > 0 && row[3] != "" {
				modes[name[1]] = row[3]
			}
		}
	}
	return modes
}

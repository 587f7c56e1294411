package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/app"
	"sallyport/internal/config"
)

// BenchmarkLoad reads 1,000 services and tokens in 100 files; a configuration of 10,000 takes ten times as long.
func BenchmarkLoad(b *testing.B) {
	path := largeTree(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := config.Load(app.Kinds(), path); err != nil {
			b.Fatal(err)
		}
	}
}

// largeTree writes that many files of ten services and tokens each, and returns the main file.
func largeTree(tb testing.TB, files int) string {
	tb.Helper()
	dir := tb.TempDir()
	main := filepath.Join(dir, "sallyport.yaml")
	for name, text := range largeFiles(files) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return main
}

func largeFiles(files int) map[string]string {
	all := map[string]string{"sallyport.yaml": "listen: {gateway: \"127.0.0.1:0\"}\n"}
	for n := range files {
		var services, tokens strings.Builder
		for i := n * 10; i < n*10+10; i++ {
			if i%2 == 0 {
				fmt.Fprintf(&services, "  s%d: {preset: openai, secret: \"ref+builtin://shared\"}\n", i)
			} else {
				fmt.Fprintf(&services,
					"  s%d:\n    upstream: https://api%d.example.com/v1\n    credential: {kind: header, header: "+
						"X-API-Key, secret: \"ref+builtin://shared\"}\n    allow: [\"GET /items/**\", \"POST "+
						"/items\"]\n", i, i)
			}
			fmt.Fprintf(&tokens, "  t%d: {services: [s%d], expires: 90d}\n", i, i)
		}
		all[fmt.Sprintf("services.d/%05d.yaml", n)] = "services:\n" + services.String() + "tokens:\n" + tokens.String()
	}
	return all
}

func BenchmarkRefs(b *testing.B) {
	c, _, err := config.Load(app.Kinds(), largeTree(b, 1))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = c.Services["s1"].Refs()
	}
}

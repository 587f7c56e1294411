package audit_test

import (
	"strings"
	"testing"

	"sallyport/internal/audit"
)

func TestFormat(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{
			"completed",
			`{"seq":3,"time":"2026-01-02T03:04:05.678901Z","event":"completed","token":"t1","label":"n8n-production","service":"openai",` +
				`"method":"POST","path":"/v1/chat/completions","status":200,"gate_us":310,"upstream_us":42000,"workflow":"wf42",` +
				`"execution":"7","node":"Get","mac":""}`,
			"2026-01-02 03:04:05.678  completed   n8n-production    openai        POST /v1/chat/completions          " +
				"           200  -                     gate 0.3ms      api 42.0ms  workflow=wf42 " +
				"execution=7 node=Get",
		},
		{
			"admin",
			`{"seq":4,"time":"2026-01-02T03:04:05Z","event":"admin","actor":"root","action":"secret.set","subject":"openai"}`,
			"2026-01-02 03:04:05.000  admin       root              openai        secret.set                                    -    -",
		},
		{
			"hostile",
			`{"seq":5,"time":"2026-01-02T03:04:05Z","event":"refused","method":"GET","path":"/\u001b[2J\u202e\u009b","code":"token_invalid"}`,
			`2026-01-02 03:04:05.000  refused     -                 -             GET /\x1b[2J\u202e\u009b                      -    token_invalid`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := audit.Format([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
	if _, err := audit.Format([]byte("{")); err == nil {
		t.Error("half a line was formatted")
	}
}

func TestRedactQuery(t *testing.T) {
	const canary = "s3cr3t"
	for in, want := range map[string]string{
		"":                                "",
		"limit=" + canary:                 "limit=[redacted]",
		"a=" + canary + "&b=&c=" + canary: "a=[redacted]&b=&c=[redacted]",
		canary:                            "[redacted]",
		"a=" + canary + "=" + canary:      "a=[redacted]",
		"a=1;b=" + canary:                 "a=[redacted]",
		"&&a=1":                           "&&a=[redacted]",
	} {
		got := audit.RedactQuery(in)
		if got != want || strings.Contains(got, canary) {
			t.Errorf("RedactQuery(%q) = %q, want %q", in, got, want)
		}
	}
}

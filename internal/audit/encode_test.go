package audit

// This test is inside the package: the encoder is the hot path and has no door of its own.

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{
		"", "plain", `"\`, "\x00\x1f\x7f", "\u0080\u009f\u00a0", "é\u2028\u2029", "\xff\xc3",
		"<&>", "\U0001f600", "\xed\xa0\x80", "a\u202eb\u200bc\ufeff\u2066\U000e0041",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := append(appendEscaped([]byte{'"'}, s), '"')
		for _, c := range string(got) {
			if c < ' ' || c >= 0x7f && c <= 0x9f || c == '\u2028' || c == '\u2029' || unicode.Is(unicode.Cf, c) {
				t.Errorf("control character %U left in %q", c, got)
			}
		}
		var back string
		if err := json.Unmarshal(got, &back); err != nil {
			t.Fatalf("escaping %q: %q: %v", s, got, err)
		}
		if want := strings.ToValidUTF8(strings.ToValidUTF8(s, "\ufffd"),
			""); len([]rune(s)) == len([]rune(want)) && back != want {
			t.Errorf("escaping %q: reads back as %q", s, back)
		}
		if plain := jsonString(s); !strings.ContainsFunc(s, func(r rune) bool {
			return r >= 0x7f && r <= 0x9f || unicode.Is(unicode.Cf, r)
		}) && !bytes.Equal(got, plain) {
			t.Errorf("escaping %q: got %s, encoding/json has %s", s, got, plain)
		}
	})
}

// jsonString is what encoding/json makes of s.
func jsonString(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestARecordReadsBackAsWritten(t *testing.T) {
	ev := Event{
		Time: time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC), Kind: KindCompleted,
		ID: "r", Token: "t", Label: "l", Generation: 2,
		Service: "s", Method: "GET", Host: "h", Path: "/p?q=[redacted]", Source: "10.0.0.1", Workflow: "w\n",
		Execution: "e", Node: "n\"",
		Rule: "r", Secrets: []string{"a@1", "b@2"}, Status: 200, Code: "upstream_5xx", Blame: "upstream", Detail: "d",
		BytesIn: 1, BytesOut: 2, Gate: 3 * time.Microsecond, Upstream: 4 * time.Microsecond, Scrubbed: 5,
		Actor: "root", Action: "x", Subject: "y", Suppressed: 6,
	}
	at := &position{}
	line := newChain(make([]byte, macSize)).seal(nil, at, appendBody(nil, KindCompleted, &ev, time.Time{}))
	rec, err := Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(Record{Seq: 1, Event: ev, Checkpoints: -1})
	got, _ := json.Marshal(rec)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTheWorstRecordFitsALine(t *testing.T) {
	long := strings.Repeat("\x01", 4*maxPath)
	many := make([]string, 2*maxSecrets)
	for i := range many {
		many[i] = long
	}
	ev := Event{
		ID: long, Token: long, Label: long, Service: long, Method: long, Host: long, Path: long,
		Source: long, Workflow: long,
		Execution: long, Node: long, Rule: long, Secrets: many, Code: long, Blame: long, Detail: long, Actor: long,
		Action: long, Subject: long,
	}
	line := newChain(make([]byte, macSize)).seal(nil, &position{}, appendBody(nil, KindCompleted, &ev, time.Now()))
	if len(line) > maxLine {
		t.Errorf("the longest record has %d bytes, more than maxLine = %d", len(line), maxLine)
	}
	if _, err := Parse(line); err != nil {
		t.Error(err)
	}
}

func TestClippingKeepsRunesWhole(t *testing.T) {
	got := string(appendClipped(nil, strings.Repeat("é", 10), 5))
	if want := "éé…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	ev := &Event{ID: "r", Path: "/ü\n", Secrets: []string{"a@1"}, Status: 200}
	c, at, now := newChain(make([]byte, macSize)), &position{}, time.Now()
	body, line := make([]byte, 0, 1024), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		line = c.seal(line[:0], at, appendBody(body[:0], KindAuthorised, ev, now))
	}); n > 0 {
		t.Errorf("%v allocations per record", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	ev := &Event{
		ID: "req-0123456789abcdef", Token: "tok_1", Label: "n8n-production", Generation: 2,
		Service: "openai", Method: "POST",
		Host: "api.openai.com", Path: "/v1/chat/completions", Source: "10.1.2.3", Workflow: "wf42", Execution: "1017",
		Node: "HTTP Request", Rule: "default", Secrets: []string{"openai@3"},
	}
	c, at, now := newChain(make([]byte, macSize)), &position{}, time.Now()
	body, line := make([]byte, 0, 1024), make([]byte, 0, 1024)
	b.Run("body", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body = appendBody(body[:0], KindAuthorised, ev, now)
		}
	})
	b.Run("sealed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			line = c.seal(line[:0], at, appendBody(body[:0], KindAuthorised, ev, now))
		}
		b.SetBytes(int64(len(line)))
	})
}

package doctor_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/doctor"
)

var update = flag.Bool("update", false, "write the golden files")

// hostile is what a stranger may call a workflow, a host or a file.
const hostile = "<script>alert(1)</script>\"'&]]>\x1b[2J\u202e{{.}}\n=cmd()\x00"

// played is a report with something of everything.
func played() doctor.Report {
	at := time.Date(2026, 11, 29, 18, 0, 0, 0, time.UTC)
	result := func(id string, severity doctor.Severity, status doctor.Status, guide string,
		seen ...doctor.Seen,
	) doctor.Result {
		return doctor.Result{
			ID: id, Title: "The state that is wanted of " + id, Severity: severity, Status: status, Asks: "Is it so?",
			Guide: []string{guide}, Page: doctor.PageOf(id), Began: at, Millis: 1234, Seen: seen,
		}
	}
	bad := doctor.Bad("deploy/compose.yaml", "the key stands here in clear", "put it into a secret")
	bad.File, bad.Line = "deploy/compose.yaml", 12
	return doctor.Report{
		Version: "v1.2.3", Host: "laptop", Began: at, Ended: at.Add(2 * time.Second),
		Counts: doctor.Counts{Failed: 1, Warning: 1, Unseen: 1, OK: 1}, LeftOut: []string{"alerts"},
		Results: []doctor.Result{
			result("tls", doctor.High, doctor.OK, doctor.GuideTLS, doctor.Good("vault:8200", "offers TLS 1.3")),
			result("store-rights", doctor.High, doctor.Unseen, doctor.GuideLeast,
				doctor.Dark("store corp (vault)", "no response in time", "is it up?")),
			result("key-runtime", doctor.Critical, doctor.Warning, doctor.GuideKey,
				doctor.Doubtful("container n8n", "a file of the host", "make it a secret"),
				doctor.Good("container worker", "a secret of the orchestrator")),
			result("key-files", doctor.Critical, doctor.Failed, doctor.GuideKey, bad),
		},
	}
}

// TestGolden: the forms are those that were looked at.
func TestGolden(t *testing.T) {
	for name, write := range writers() {
		var out bytes.Buffer
		if err := write(&out, played()); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "report."+name)
		if *update {
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func writers() map[string]func(io.Writer, doctor.Report) error {
	return map[string]func(io.Writer, doctor.Report) error{
		"txt": doctor.Text, "sarif": doctor.SARIF, "junit.xml": doctor.JUnit, "html": doctor.HTML,
	}
}

// TestHostile: no form lets a stranger's text be anything but text. Run cleans it first, as in a real run.
func TestHostile(t *testing.T) {
	s := doctor.Bad(hostile, hostile, hostile)
	s.File = hostile
	r := run(t, saying("a", s))
	for name, write := range writers() {
		var out bytes.Buffer
		if err := write(&out, r); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if i := strings.IndexFunc(text, func(r rune) bool {
			return unicode.Is(unicode.Cf, r) ||
				unicode.IsControl(r) && r != '\n'
		}); i >= 0 {
			t.Errorf("%s: a control character at %d: %q", name, i, text[max(0, i-20):i+5])
		}
		if name == "html" && (strings.Contains(text, "<script") || strings.Contains(text, "alert(1)</script>")) {
			t.Errorf("the page has a script in it")
		}
		if name == "txt" && strings.Contains(text, "\n=cmd") {
			t.Errorf("a stranger's text begins a line")
		}
	}
}

// TestHTMLLoadsNothing: the page has nothing that a browser would fetch or run, and forbids it.
func TestHTMLLoadsNothing(t *testing.T) {
	var out bytes.Buffer
	if err := doctor.HTML(&out, played()); err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|url\(|@import|\bsrc=|\bhref=|\bon[a-z]+=|https?://`).
		FindAllString(out.String(), -1); found != nil {
		t.Errorf("found %q", found)
	}
	if !strings.Contains(out.String(), "default-src &#39;none&#39;") {
		t.Error("there is no policy")
	}
}

// TestJUnit: a check that could not look is an error, and the counts are those of the cases.
func TestJUnit(t *testing.T) {
	var out bytes.Buffer
	if err := doctor.JUnit(&out, played()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Cases    []struct {
			Name    string    `xml:"name,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, c := range got.Cases {
		states[c.Name] = map[bool]string{true: "failure"}[c.Failure != nil] +
			map[bool]string{true: "error"}[c.Error != nil] + map[bool]string{true: "skipped"}[c.Skipped != nil]
	}
	want := map[string]string{
		"tls": "", "store-rights": "error", "key-runtime": "failure", "key-files": "failure", "alerts": "skipped",
	}
	if diff := cmp.Diff(want, states); diff != "" || got.Tests != 5 || got.Failures != 2 || got.Errors != 1 {
		t.Errorf("got %+v\n%s", got, diff)
	}
}

// TestSARIFKinds: what could not be looked at is open, and no pass.
func TestSARIFKinds(t *testing.T) {
	var out bytes.Buffer
	if err := doctor.SARIF(&out, played()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Runs []struct {
			Results []struct{ RuleID, Kind, Level string }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, r := range got.Runs[0].Results {
		kinds = append(kinds, r.RuleID+" "+r.Kind+" "+r.Level)
	}
	want := []string{
		"tls pass none", "store-rights open none", "key-runtime fail warning", "key-runtime pass none",
		"key-files fail error",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

package e2e_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"sallyport/e2e/lab"
)

var (
	wordsRow   = regexp.MustCompile(`(?m)^\| (\d{3}[^|]*) \| ([^|]+) \| .* \|$`)
	statusCode = regexp.MustCompile(`\d{3}`)
	wordsAt    = regexp.MustCompile(`; at (\d{3}): (.*)$`)
)

// words: docs/n8n-setup.md has for each status the words that n8n shows, and a workflow finds the code where the page
// says.
func (s *scene) words(t *testing.T) {
	page, err := os.ReadFile("../docs/n8n-setup.md")
	must(t, "reading the page", err)
	want := wordsOf(string(page))
	if len(want) < 10 {
		t.Fatalf("the page has the words of %d statuses", len(want))
	}
	for code, words := range want {
		_, execution := s.run(t.Context(), t, "words for "+code, s.call("Call", "GET", "api/v1/status/"+code, nil))
		if execution.Error == nil || execution.Error.Message != words {
			t.Errorf("at %s n8n shows %+v, and the page says %q", code, execution.Error, words)
		}
	}

	plain := lab.HTTPRequest("Plain", "GET",
		strings.Replace(s.gate.URL, "https:", "http:", 1)+"/s/api/v1/items", s.credential, nil)
	_, execution := s.run(t.Context(), t, "plain HTTP", plain)
	if execution.Error == nil {
		t.Fatal("plain HTTP to a gate with TLS is no error")
	}
	shown := "| " + execution.Error.Message + "<br>*" + strings.TrimSuffix(execution.Error.Description,
		"the URL has to begin with https://")
	if !bytes.Contains(page, []byte(shown)) {
		t.Errorf("n8n shows %+v where the URL has http://, and the page has no row for it: %q", execution.Error, shown)
	}

	_, execution = s.run(t.Context(), t, "the code",
		s.call("Call", "GET", "nowhere/v1/items", map[string]any{"options": map[string]any{
			"response": map[string]any{"response": map[string]any{"fullResponse": true, "neverError": true, "responseFormat": "json"}},
		}}))
	got := bytes.Join(rawBytes(execution.Items("Call")), nil)
	if !bytes.Contains(got, []byte(`"body":{"type":"urn:sallyport:error:service_unknown"`)) ||
		!bytes.Contains(got, []byte(`"code":"service_unknown"`)) {
		t.Errorf("a workflow that branches on the code gets %.600s", got)
	}
}

// wordsOf reads the table of statuses: "A; at 407: B" has A for the row's other statuses.
func wordsOf(page string) map[string]string {
	words := map[string]string{}
	for _, row := range wordsRow.FindAllStringSubmatch(page, -1) {
		for _, code := range statusCode.FindAllString(row[1], -1) {
			words[code] = wordsAt.ReplaceAllString(row[2], "")
		}
		if at := wordsAt.FindStringSubmatch(row[2]); at != nil {
			words[at[1]] = at[2]
		}
	}
	return words
}

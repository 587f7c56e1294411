package driver

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/program"
)

// leastPart is the shortest part of a value that tells anything, in bytes.
const leastPart = 4

// forms are the ways in which a line may have a value: as it is, line by line, cleaned as the line was, and as JSON and
// URLs write it. The longest come first, so that no part of one is left of another.
func forms(values []string) (list []string) {
	for _, value := range values {
		list = append(list, value, inJSON(value, true), inJSON(value, false), url.QueryEscape(value),
			url.PathEscape(value), base64.StdEncoding.EncodeToString([]byte(value)))
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= leastPart {
				list = append(list, line)
			}
		}
	}
	for _, one := range list {
		list = append(list, program.Clean(one))
	}
	list = slices.DeleteFunc(list, func(one string) bool { return len(one) < leastPart })
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(list)
}

// inJSON is value as it stands between quotes. Some programs escape <, > and & there, and some do not.
func inJSON(value string, html bool) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(html)
	_ = encoder.Encode(value) // a string has an encoding
	text := strings.TrimSpace(b.String())
	return text[1 : len(text)-1]
}

// Redact takes values out of a line that another wrote, in every form in which it may have them, also the beginning of
// one where the line was cut off. Values of fewer than four bytes tell nothing, and stay.
func Redact(said string, values ...string) string {
	const shown = "[redacted]"
	for _, value := range forms(values) {
		said = strings.ReplaceAll(said, value, shown)
		line := strings.TrimSuffix(said, "…")
		for n := min(len(value), len(line)); line != said && n > 0; n-- {
			if head, cut := strings.CutSuffix(line, value[:n]); cut {
				said = head + shown
				break
			}
		}
	}
	return said
}

var long = regexp.MustCompile(`[^\s"'<>()\[\]{},;]{12,}`)

// Unkeyed takes out whatever looks like a key: APIs quote what they were sent, and what they would have answered. What
// is long and no word is taken for one, wherever it comes from.
func Unkeyed(text string) string {
	return long.ReplaceAllStringFunc(text, func(word string) string {
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'.:_-/") == "" && len(word) < 40 &&
			strings.Trim(word[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == word[1:] {
			return word
		}
		return "…"
	})
}

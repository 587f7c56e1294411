package audit_test

import (
	"reflect"
	"regexp"
	"slices"
	"testing"

	"sallyport/internal/audit"
)

var jsonKey = regexp.MustCompile(`[{,]"([a-z_]+)":`)

// TestTheDocsNameEveryField holds docs/audit.md against what is written when every field is set.
func TestTheDocsNameEveryField(t *testing.T) {
	o := testOptions(t)
	l := open(t, o)
	if err := l.Authorise(t.Context(), everything(t)); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, match := range jsonKey.FindAllSubmatch(read(t, o.Path), -1) {
		written[string(match[1])] = true
	}
	if want := reflect.TypeFor[audit.Event]().NumField() +
		len([]string{"seq", "log", "checkpoints", "mac"}); len(written) != want {
		t.Errorf("%d fields written, want %d: is one of Event's not encoded?", len(written), want)
	}
	docs := regexp.MustCompile("`([a-z_]+)`").FindAllSubmatch(read(t, "../../docs/audit.md"), -1)
	for field := range written {
		if !slices.ContainsFunc(docs, func(m [][]byte) bool { return string(m[1]) == field }) {
			t.Errorf("docs/audit.md does not say what %q is", field)
		}
	}
}

// everything is an event without a zero field.
func everything(t *testing.T) *audit.Event {
	t.Helper()
	ev := &audit.Event{Secrets: []string{"openai@3"}}
	for _, f := range reflect.ValueOf(ev).Elem().Fields() {
		if f.Kind() == reflect.String {
			f.SetString("x")
		} else if f.CanInt() {
			f.SetInt(5_000_000)
		}
	}
	return ev
}

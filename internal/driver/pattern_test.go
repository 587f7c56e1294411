package driver_test

import (
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// report keeps what is wrong, by key.
type report struct {
	secret.Report
	wrong, warned map[string]string
}

func (r *report) Fail(key, message, hint string) { r.wrong[key] = message + "; " + hint }

func (r *report) Warn(key, message, _ string) { r.warned = map[string]string{key: message} }

func (*report) Address(_, _, _ string) {}

func (*report) Certificates(_, _ string) {}

func (*report) Plain(string, *url.URL) {}

// TestPattern: a value has its length, its alphabet and its template, and is another each time.
func TestPattern(t *testing.T) {
	for _, c := range []struct {
		pattern      driver.Pattern
		want, around string
		length       int
	}{
		{driver.Pattern{}, driver.Alphabets()["alphanumeric"], "", 40},
		{driver.Pattern{Length: 32, Alphabet: "hex", Template: "sk-{value}-x"}, driver.Alphabets()["hex"], "sk--x", 32},
		{driver.Pattern{Length: 99, Alphabet: "äb"}, "äb", "", 99},
	} {
		r := &report{wrong: map[string]string{}}
		if c.pattern.Check(r); len(r.wrong) > 0 {
			t.Errorf("%+v: %v", c.pattern, r.wrong)
		}
		one, err := c.pattern.Generate()
		if err != nil {
			t.Fatal(err)
		}
		other, _ := c.pattern.Generate()
		text := string(one.Reveal())
		before, after, _ := strings.Cut(c.around, "--")
		if c.around != "" {
			text = strings.TrimSuffix(strings.TrimPrefix(text, before+"-"), "-"+after)
		}
		if one.Equal(other) || len([]rune(text)) != c.length || strings.Trim(text, c.want) != "" {
			t.Errorf("%+v: got %d characters, or strange ones, or the same twice", c.pattern, len([]rune(text)))
		}
	}
}

// TestPatternEvenly: each letter comes about as often as any other.
func TestPatternEvenly(t *testing.T) {
	counts := map[rune]int{}
	for range 20 {
		value, err := driver.Pattern{Length: 4000, Alphabet: "abcdefg"}.Generate()
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range string(value.Reveal()) {
			counts[one]++
		}
	}
	for letter, n := range counts {
		if want := 80000 / 7; n < want*9/10 || n > want*11/10 {
			t.Errorf("%c came %d times, want about %d", letter, n, want)
		}
	}
}

// TestPatternRefused: what is too weak or has no meaning is refused at its key.
func TestPatternRefused(t *testing.T) {
	for key, patterns := range map[string][]driver.Pattern{
		"length":   {{Length: -1}, {Length: 5000}, {Length: 12}, {Length: 20, Alphabet: "digits"}, {Alphabet: "x"}},
		"alphabet": {{Alphabet: "abca"}},
		"template": {{Template: "sk-"}, {Template: "{value}{value}"}},
	} {
		for _, pattern := range patterns {
			r := &report{wrong: map[string]string{}}
			if pattern.Check(r); r.wrong[key] == "" {
				t.Errorf("%+v: got %v, want an error about %s", pattern, r.wrong, key)
			}
		}
	}
	if _, err := (driver.Pattern{Alphabet: "x"}).Generate(); err == nil {
		t.Error("a value of one letter was made")
	}
}

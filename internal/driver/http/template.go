package httpdriver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// template is text with {name} or {name:format} in it; {{ and }} are braces.
type template []piece

// piece is text, or where name is set, the place of what it stands for.
type piece struct{ text, name, format string }

var placeForm = regexp.MustCompile(`^([a-z][a-z0-9_]{0,40})(?::(date|time|datetime|unix|seconds|days))?$`)

// parseTemplate takes text apart.
func parseTemplate(text string) (template, error) {
	var t template
	for text != "" {
		at := strings.IndexAny(text, "{}")
		if at < 0 {
			return append(t, piece{text: text}), nil
		}
		if at > 0 {
			t = append(t, piece{text: text[:at]})
			text = text[at:]
		}
		if len(text) > 1 && text[1] == text[0] {
			t = append(t, piece{text: text[:1]})
			text = text[2:]
			continue
		}
		place, rest, closed := strings.Cut(text[1:], "}")
		found := placeForm.FindStringSubmatch(place)
		if text[0] == '}' || !closed || found == nil {
			return nil, errors.New("has a brace that is not of {name} or {name:format}; write {{ or }} for a brace")
		}
		t = append(t, piece{name: found[1], format: found[2]})
		text = rest
	}
	return t, nil
}

// scope gives the values that names stand for. ok is false for an optional parameter that is not set.
type scope func(name string) (value any, ok bool)

// text fills t in; each value is written by escape. ok is false if t is one name alone that has no value.
func (t template) text(in scope, now time.Time, escape func(string) string) (text string, ok bool) {
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		value, set := in(p.name)
		if !set && len(t) == 1 {
			return "", false
		}
		b.WriteString(escape(plain(formatted(value, p.format, now))))
	}
	return b.String(), true
}

// typed fills t in for JSON: a name alone is the value with its type.
func (t template) typed(in scope, now time.Time) (value any, ok bool) {
	if len(t) == 1 && t[0].name != "" {
		value, ok = in(t[0].name)
		return formatted(value, t[0].format, now), ok
	}
	text, _ := t.text(in, now, asIs)
	return text, true
}

func asIs(text string) string { return text }

// withoutZone is a time of UTC as some APIs write and take it.
const withoutZone = "2006-01-02T15:04:05"

// formatted turns a duration into what the format says: a time from now on, or how long it is.
func formatted(value any, format string, now time.Time) any {
	d, ok := value.(time.Duration)
	if !ok {
		return value
	}
	until := now.Add(d).UTC()
	switch format {
	case "date":
		return until.Format(time.DateOnly)
	case "datetime":
		return until.Format(withoutZone)
	case "unix":
		return until.Unix()
	case "seconds":
		return int64(d / time.Second)
	case "days":
		return int64(d / (24 * time.Hour))
	}
	return until.Format(time.RFC3339)
}

// plain is a value as text.
func plain(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case []string:
		return strings.Join(v, ",")
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}

// names lists the names in t.
func (t template) names() []piece {
	var all []piece
	for _, p := range t {
		if p.name != "" {
			all = append(all, p)
		}
	}
	return all
}

// fillPath fills a path in. A value is one segment and cannot become another path: it is escaped, and neither empty
// nor dots.
func (t template) fillPath(in scope, now time.Time, raw func(name string) bool) (*url.URL, error) {
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		value, _ := in(p.name)
		text := plain(formatted(value, p.format, now))
		if text == "" || text == "." || text == ".." || !printable(text) {
			return nil, fmt.Errorf("%s is empty, or nothing that can stand in a path", p.name)
		}
		if !raw(p.name) {
			text = url.PathEscape(text)
		}
		b.WriteString(text)
	}
	u, err := url.ParseRequestURI(b.String())
	if err != nil || u.Host != "" || u.RawQuery != "" {
		return nil, errors.New("the path is none with what was filled in")
	}
	return u, nil
}

// printable tells whether text is visible characters of ASCII.
func printable(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

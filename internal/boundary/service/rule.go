package service

import (
	"net/url"
	"slices"
	"strings"

	"sallyport/internal/config"
)

// Rule is an allow rule of the configuration, ready to match. A pattern is matched against the percent-decoded segments
// of the path below the service's base path.
type Rule struct {
	text     string
	methods  []string // empty: all
	segments []string
	merged   []string // segments without the empty ones
}

// NewRule prepares a rule.
func NewRule(r config.Rule) Rule {
	segments := strings.Split(strings.TrimPrefix(r.Path, "/"), "/")
	return Rule{text: r.String(), methods: r.Methods, segments: segments, merged: withoutEmpty(segments)}
}

// withoutEmpty leaves the empty segments out, save the last: a slash at the end stays one.
func withoutEmpty(segments []string) []string {
	var kept []string
	for i, s := range segments {
		if s != "" || i == len(segments)-1 {
			kept = append(kept, s)
		}
	}
	return kept
}

// String is the rule as audit records name it.
func (r Rule) String() string { return r.text }

// Match tells whether the rule allows method on path, an escaped path that begins with a slash. Where a path has empty
// segments the rule has to allow it as it is, and as a server reads it that takes // for /.
func (r Rule) Match(method, path string) bool {
	if len(r.methods) > 0 && !slices.Contains(r.methods, method) {
		return false
	}
	path = strings.TrimPrefix(path, "/")
	if !matchSegments(r.segments, path, false) {
		return false
	}
	if !strings.HasPrefix(path, "/") && !strings.Contains(path, "//") {
		return true
	}
	return matchSegments(r.merged, strings.Join(withoutEmpty(strings.Split(path, "/")), "/"), false)
}

// matchSegments walks both; done means that path has no segment left.
func matchSegments(pattern []string, path string, done bool) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			return matchRest(pattern[1:], path, done)
		}
		if done {
			return false
		}
		segment, rest, more := strings.Cut(path, "/")
		if !matchSegment(pattern[0], segment) {
			return false
		}
		pattern, path, done = pattern[1:], rest, !more
	}
	return done
}

// matchRest lets ** take zero, one, two, … segments.
func matchRest(pattern []string, path string, done bool) bool {
	for {
		if matchSegments(pattern, path, done) {
			return true
		}
		if done {
			return false
		}
		_, rest, more := strings.Cut(path, "/")
		path, done = rest, !more
	}
}

// matchSegment matches one segment, decoded, against a pattern in which * is any run of characters.
func matchSegment(pattern, segment string) bool {
	if strings.IndexByte(segment, '%') >= 0 {
		decoded, err := url.PathUnescape(segment)
		if err != nil {
			return false
		}
		segment = decoded
	}
	prefix, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == segment
	}
	segment, ok := strings.CutPrefix(segment, prefix)
	for ok {
		var part string
		if part, rest, star = strings.Cut(rest, "*"); !star {
			return strings.HasSuffix(segment, part)
		}
		i := strings.Index(segment, part)
		if ok = i >= 0; ok {
			segment = segment[i+len(part):]
		}
	}
	return false
}

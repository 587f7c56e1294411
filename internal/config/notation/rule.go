package notation

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Rule is one line of a service's allow list.
type Rule struct {
	Methods []string // nil: any
	// glob over the decoded path below the base path: * within a segment, ** as a whole segment over segments
	Path string
}

var errRule = errors.New(`want METHOD[,METHOD] or *, a blank and a path glob, such as "GET /v1/**"`)

// ParseRule reads "METHOD[,METHOD] /glob" or "* /glob".
func ParseRule(s string) (Rule, error) {
	methods, path, ok := strings.Cut(s, " ")
	path = strings.TrimLeft(path, " ")
	if !ok || path == "" {
		return Rule{}, errRule
	}
	rule := Rule{Path: path}
	if methods != "*" {
		for m := range strings.SplitSeq(methods, ",") {
			if !IsMethod(m) {
				return Rule{}, fmt.Errorf("the methods before the blank are capitals, separated by commas: %w", errRule)
			}
			rule.Methods = append(rule.Methods, m)
		}
	}
	return rule, checkGlob(path)
}

// checkGlob takes what a request's path can be and the two wildcards. A rule that can never match is a mistake.
func checkGlob(path string) error {
	if !strings.HasPrefix(path, "/") {
		return errors.New("the path of a rule begins with /")
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`?#\"<>^{|}`+"`", c) >= 0 {
			return errors.New("the path of a rule has no blanks, queries or characters that a path cannot have")
		}
	}
	if decoded, err := url.PathUnescape(path); err != nil || decoded != path {
		return errors.New("the path of a rule is written decoded: it is compared with decoded segments, so % never " +
			"matches an escape")
	}
	for seg := range strings.SplitSeq(path[1:], "/") {
		if seg == "." || seg == ".." {
			return errors.New("the path of a rule has a dot segment, which no request that gets so far has")
		}
		if seg != "**" && strings.Contains(seg, "**") {
			return errors.New("** in a rule is a whole segment: /v1/** or /v1/**/files")
		}
	}
	return nil
}

// String writes the rule as ParseRule reads it.
func (r Rule) String() string {
	if len(r.Methods) == 0 {
		return "* " + r.Path
	}
	return strings.Join(r.Methods, ",") + " " + r.Path
}

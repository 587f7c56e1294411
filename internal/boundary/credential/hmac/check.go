package hmac

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/config"
)

// Check implements config.CredentialSettings.
func (s *Settings) Check(r *config.CredentialReport) {
	r.Header("header", s.Header)
	r.Param("param", s.Param)
	always := []string{"timestamp", "timestamp_ms", "nonce"}
	switch {
	case s.Header == "" && s.Param == "":
		r.Missing("has a credential of kind hmac without header or param",
			"name the header that the signature goes into, such as header: X-Signature")
	case s.Header != "" && s.Param != "":
		r.Fail("param", "stands beside header", "the signature goes into one of the two")
	}
	message := []string{"method", "scheme", "host", "path", "query", "target", "body", "body_sha256", "header:NAME"}
	template(r, "message", s.Message, append(message, always...))
	if uses := template(r, "format", s.Format,
		append([]string{"signature"}, always...)); !slices.Contains(uses, "signature") {
		r.Fail("format", "has no {signature} in it", `write it as "sha256={signature}"`)
	}
	for _, name := range s.Headers() {
		at := "set_headers." + name
		switch problem := r.HeaderProblem(name); {
		case problem != "" && !strings.EqualFold(name, "date"):
			r.Fail(at, problem, "")
		case strings.EqualFold(name, s.Header):
			r.Fail(at, "is where the signature goes", "name it in header alone")
		}
		template(r, at, s.SetHeaders[name], always)
	}
	if s.Header != "" && strings.Contains(strings.ToLower(s.Message), "{header:"+strings.ToLower(s.Header)+"}") {
		r.Fail("message", "has the header that the signature goes into", "leave it out of the message")
	}
}

// template checks a text with placeholders and returns those it uses.
func template(r *config.CredentialReport, key, text string, known []string) []string {
	uses, problem := placeholders(r, text, known)
	if problem != "" {
		r.Fail(key, problem, "there are {"+strings.Join(known, "}, {")+"}; a brace of the text is doubled")
	}
	return uses
}

// placeholders reads a template of package sign, whose rules these are.
func placeholders(r *config.CredentialReport, text string, known []string) (uses []string, problem string) {
	for rest := text; ; {
		i := strings.IndexAny(rest, "{}")
		switch {
		case i < 0:
			return uses, ""
		case i+1 < len(rest) && rest[i+1] == rest[i]:
			rest = rest[i+2:]
			continue
		case rest[i] == '}':
			return append(uses, known...), "has a } without its {"
		}
		name, after, closed := strings.Cut(rest[i+1:], "}")
		if !closed {
			return append(uses, known...), "has a { without its }"
		}
		header, isHeader := strings.CutPrefix(name, "header:")
		isHeader = isHeader && slices.Contains(known, "header:NAME") && r.IsToken(header)
		if !isHeader && !slices.Contains(known, name) {
			return append(uses, known...), fmt.Sprintf("has a placeholder that there is not: {%s}", r.Shown(name))
		}
		uses, rest = append(uses, name), after
	}
}

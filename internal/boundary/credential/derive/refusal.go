package derive

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/boundary/scrub"
)

// A provider refuses a refresh token in words of its own. These say that it is dead: that asking again is of no use,
// and that a person has to give consent again. The rule, in this order (docs/credentials.md has it for users):
//
//  1. The error code is one of deadWords.
//  2. The error code, or any text of the response, speaks of the refresh token and calls it bad (callsDead). Some
//     providers have a code that says nothing, or a wrong one, and the reason in the text beside it.
//
// Neither counts where the answer asks to come back later (408, 425, 429, 503), and the text does not where the code
// puts the blame elsewhere (elsewhereWords). The text itself is never shown or kept.
var deadWords = []string{
	// RFC 6749 section 5.2; Google, Microsoft (AADSTS70008, AADSTS700082, …), Salesforce, QuickBooks, Fitbit
	"invalid_grant",
	// GitHub, with status 200; HubSpot, in capitals
	"bad_refresh_token",
	"invalid_refresh_token", "token_revoked", "token_expired", "account_inactive", // Slack, with status 200
	"invalid_code",         // Zoho, with status 200
	"invalid_token",        // RFC 6750 section 3.1; Spring Security OAuth
	"expired_token",        // RFC 8628 section 3.5
	"interaction_required", // OpenID Connect Core section 3.1.2.6; Microsoft where a person has to sign in
	"login_required",
	"consent_required",
}

// elsewhereWords put the blame on something else than the refresh token, whatever else the response says.
var elsewhereWords = []string{
	"invalid_client", "invalid_scope", "unsupported_grant_type", "server_error", "temporarily_unavailable", "slow_down",
	"rate_limited", "ratelimited", "rate_limit_exceeded", "too_many_requests",
}

// How a text speaks of the refresh token, and calls it bad; and of what else it may speak, so that it does not count.
// All are for text in lower case; the last two for one in which "it" stands for the refresh token, and a blank for what
// joins words.
var (
	refreshToken = regexp.MustCompile(`refresh[ _.-]*token|` +
		// X; Zoom
		`value passed for the token|^(the )?token (is|was|has|not|expired|revoked|invalid)\b|^invalid token!?$`)
	deadText = regexp.MustCompile(
		`\b(bad|invalid|invalidated|expired|revoked|inactive|incorrect|malformed|reused|blacklisted|` +
			`not (been )?(valid|found|active|recognized|recognised)|no longer (valid|active)|(already|been|was) used|` +
			`unknown +it|(does not|doesn't) exist)\b`)
	otherText = regexp.MustCompile(`too many|rate ?limit|temporar|grant ?type|client (auth|secret|cred|id)|scope`)
)

// callsDead tells whether a text calls the refresh token dead.
func callsDead(text string) bool {
	text = strings.ToLower(text)
	if !refreshToken.MatchString(text) {
		return false
	}
	text = strings.NewReplacer("_", " ", "-", " ", ".", " ").Replace(refreshToken.ReplaceAllString(text, " it $0 "))
	return deadText.MatchString(text) && !otherText.MatchString(text)
}

// deadWord tells whether an error code says that the refresh token is dead.
func deadWord(code string) bool {
	return slices.Contains(deadWords, strings.ToLower(strings.ReplaceAll(code, "-", "_"))) || callsDead(code)
}

// saysDead applies the rule to a whole response.
func (a *answer) saysDead(m map[string]json.RawMessage) bool {
	switch a.status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	}
	code := strings.ToLower(a.code(m))
	switch {
	case deadWord(code):
		return true
	case slices.Contains(elsewhereWords, code), a.status >= 500:
		return false
	}
	return slices.ContainsFunc(texts(m, nil, 0), callsDead)
}

// texts gathers the strings of a response, down to some depth; long ones explain nothing.
func texts(node any, into []string, depth int) []string {
	switch n := node.(type) {
	case map[string]json.RawMessage:
		for _, raw := range n {
			var inner any
			if json.Unmarshal(raw, &inner) == nil {
				into = texts(inner, into, depth+1)
			}
		}
	case map[string]any:
		for _, inner := range n {
			if depth < 5 {
				into = texts(inner, into, depth+1)
			}
		}
		if field, ok := n["field"].(string); ok { // Strava: the field, and beside it what is wrong with it
			into = append(into, fmt.Sprint(field, " ", n["code"]))
		}
	case []any:
		for _, inner := range n {
			if depth < 5 {
				into = texts(inner, into, depth+1)
			}
		}
	case string:
		if len(n) <= 1<<10 {
			into = append(into, n)
		}
	}
	return into
}

// refuses tells whether a response with a status of success says that it is none.
func (a *answer) refuses(m map[string]json.RawMessage) bool {
	for _, name := range []string{"ok", "success"} {
		if string(m[name]) == "false" {
			return true
		}
	}
	for _, name := range []string{"error", "errors", "error_code", "errorCode", "errcode"} {
		if a.codeIn(m[name]) != "" || saysSomething(m[name]) {
			return true
		}
	}
	return a.saysDead(m)
}

// saysSomething tells that a member is not there for form's sake only.
func saysSomething(raw json.RawMessage) bool {
	return !isBlank(raw) && !slices.Contains([]string{"0", `"0"`, "false", "[]", "{}"}, string(raw))
}

// refused is a response with a status of success that is none.
func (a *answer) refused(m map[string]json.RawMessage) error {
	e := &EndpointError{Host: a.host, Status: a.status, Code: a.code(m), fate: refused, dead: a.saysDead(m)}
	if e.Code == "" {
		e.Reason = "refused"
	}
	return e
}

var codeForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// code is the provider's word for what is wrong, if it has the form of a code and is no part of what was sent: `error`
// (RFC 6749 section 5.2), or what stands for it. Some nest it.
func (a *answer) code(m map[string]json.RawMessage) string {
	for _, name := range []string{"error", "errors", "error_code", "errorCode", "errcode", "code", "status"} {
		if code := a.codeIn(m[name]); code != "" {
			return code
		}
	}
	return ""
}

// codeIn reads a word, or the first word in an object, or of the first in a list.
func (a *answer) codeIn(raw json.RawMessage) string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		raw = list[0]
	}
	inner, err := jsonObjectOf(raw)
	if err != nil {
		return a.meaningful(a.asCode(raw))
	}
	for _, name := range []string{"status", "code", "type", "errorType", "errorCode", "error"} {
		if code := a.meaningful(a.asCode(inner[name])); code != "" {
			return code
		}
	}
	return ""
}

// meaningful is code, unless it only says again what the status says.
func (a *answer) meaningful(code string) string {
	switch n, err := strconv.Atoi(code); {
	case err == nil && (n == 0 || n == a.status || 200 <= n && n <= 299):
		return ""
	case slices.Contains([]string{"ok", "success", "error", "fail", "failed", "failure"}, strings.ToLower(code)):
		return ""
	}
	return code
}

// asCode takes a string or a number in the form of a code.
func (a *answer) asCode(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	return a.word(text)
}

// word is text, if it may be told as a code.
func (a *answer) word(text string) string {
	if !codeForm.MatchString(text) || text == "null" || text == "true" || text == "false" {
		return ""
	}
	for _, sent := range a.sent() {
		if len(sent) > 0 &&
			(len(text) >= minToken && strings.Contains(string(sent), text) || strings.Contains(text, string(sent))) {
			return ""
		}
	}
	if _, found := scrub.Compile(a.sent()...).String(text); found > 0 {
		return "" // in another dress
	}
	return text
}

// sent is what the call carried, and of user and password (RFC 7617) each by itself.
func (a *answer) sent() [][]byte {
	var all [][]byte
	for _, s := range a.secrets {
		all = append(all, s.Reveal())
		pair, basic := strings.CutPrefix(string(s.Reveal()), "Basic ")
		if !basic {
			continue
		}
		if plain, err := base64.StdEncoding.DecodeString(pair); err == nil {
			user, password, _ := strings.Cut(string(plain), ":")
			all = append(all, plain, []byte(user), []byte(password))
		}
	}
	return all
}

package config

import (
	"fmt"
	"slices"
	"strings"
)

// signing checks what is signed and where the signature goes.
func (k *checker) signing(cred *Credential, key string) {
	switch cred.Kind {
	case KindHMAC:
		k.hmac(cred, key)
	case KindOAuth1:
		if cred.AccessToken.IsZero() != cred.TokenSecret.IsZero() {
			k.missing(k.ownerOf(key), "has only one of access_token and token_secret", "write both, or none for calls in the consumer's own name")
		}
		if strings.ContainsAny(cred.Realm, `"\`) {
			k.fail(key+".realm", "has a quote or a backslash in it", "")
		}
	case KindSigV4:
		if cred.UnsignedLarge && cred.Service != "s3" && cred.Service != "" {
			k.fail(key+".unsigned_large", "goes with S3 alone", "leave it out, or write service: s3")
		}
	}
}

func (k *checker) hmac(cred *Credential, key string) {
	always := []string{"timestamp", "timestamp_ms", "nonce"}
	switch {
	case cred.Header == "" && cred.Param == "":
		k.missing(k.ownerOf(key), "has a credential of kind hmac without header or param", "name the header that the signature goes into, such as header: X-Signature")
	case cred.Header != "" && cred.Param != "":
		k.fail(key+".param", "stands beside header", "the signature goes into one of the two")
	}
	k.template(key+".message", cred.Message, append([]string{"method", "scheme", "host", "path", "query", "target", "body", "body_sha256", "header:NAME"}, always...))
	if uses := k.template(key+".format", cred.Format, append([]string{"signature"}, always...)); !slices.Contains(uses, "signature") {
		k.fail(key+".format", "has no {signature} in it", `write it as "sha256={signature}"`)
	}
	for _, name := range sortedKeys(cred.SignedHeaders) {
		at := key + ".set_headers." + name
		switch problem := headerProblem(name); {
		case problem != "" && !strings.EqualFold(name, "date"):
			k.fail(at, problem, "")
		case strings.EqualFold(name, cred.Header):
			k.fail(at, "is where the signature goes", "name it in header alone")
		}
		k.template(at, cred.SignedHeaders[name], always)
	}
	if cred.Header != "" && strings.Contains(strings.ToLower(cred.Message), "{header:"+strings.ToLower(cred.Header)+"}") {
		k.fail(key+".message", "has the header that the signature goes into", "leave it out of the message")
	}
}

// template checks a text with placeholders and returns those it uses.
func (k *checker) template(key, text string, known []string) []string {
	uses, problem := placeholders(text, known)
	if problem != "" {
		k.fail(key, problem, "there are {"+strings.Join(known, "}, {")+"}; a brace of the text is doubled")
	}
	return uses
}

// placeholders reads a template of package sign, whose rules these are.
func placeholders(text string, known []string) (uses []string, problem string) {
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
		isHeader = isHeader && slices.Contains(known, "header:NAME") && headerName.MatchString(header)
		if !isHeader && !slices.Contains(known, name) {
			return append(uses, known...), fmt.Sprintf("has a placeholder that there is not: {%s}", strings.Trim(show(name), `"`))
		}
		uses, rest = append(uses, name), after
	}
}

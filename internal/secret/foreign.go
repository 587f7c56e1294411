package secret

import (
	"fmt"
	"net/url"
	"strings"
)

// Stores that the notations of others belong to, by name.
const (
	storeOnePassword = "op"
	storeAWS         = "awssm"
	storeFile        = "file"
)

// ParseAny reads a value of which it is not known whether it is a reference, such as an environment variable's. ok
// tells that it is one; then err tells that it is a malformed one. A reference is the whole value: one with text around
// it, be it a blank, is not. Beside ref+<store>://… it reads what is unambiguous of the notations that people have
// already:
//
//	op://vault/item[/section]/field                     1Password: store "op", path vault/item/field; names may have
//	                                                    blanks, as 1Password has them, and %XX is a byte, as in ours
//	arn:aws:secretsmanager:region:account:secret:name   AWS Secrets Manager: store "awssm", the path is the ARN;
//	                                                    #field, and Amazon ECS's :json-key:stage:version behind
//	                                                    it, are read
//	file:///absolute/path[#field]                       store "file", the path as it stands
func ParseAny(s string) (r Ref, ok bool, err error) {
	switch {
	case isOurs(s):
		r, err = ParseRef(s)
		return r, true, err
	case strings.HasPrefix(s, "op://"):
		r, err = parseOnePassword(s)
		return r, true, err
	case isSecretARN(s):
		r, err = parseARN(s)
		return r, true, err
	case strings.HasPrefix(s, "file:///") && !strings.ContainsAny(s, "?%"):
		r, err = parseFile(s)
		return r, true, err
	}
	return Ref{}, false, nil
}

// isOurs tells ref+<something>://… from a value that begins with the same four letters.
func isOurs(s string) bool {
	rest, ok := strings.CutPrefix(s, "ref+")
	store, _, hasScheme := strings.Cut(rest, "://")
	return ok && hasScheme && store != "" && !strings.ContainsAny(store, " \t\r\n/")
}

// foreign checks what has been taken out of another notation by writing it in ours.
func foreign(s string, r Ref) (Ref, error) {
	parsed, err := ParseRef(r.String())
	if err != nil || parsed != r || hasControl(s) {
		return Ref{},
			fmt.Errorf("reading reference %q: it has characters that a reference cannot have; write it as "+
				"ref+%s://…, where such a character of a name is %%XX, or use ids instead of names", s, r.Store)
	}
	return r, nil
}

func parseOnePassword(s string) (Ref, error) {
	path := strings.TrimPrefix(s, "op://")
	parts := strings.Split(path, "/")
	for _, part := range parts {
		if part == "" {
			parts = nil
		}
	}
	if len(parts) < 3 || len(parts) > 4 || strings.ContainsAny(path, "?#") {
		return Ref{}, fmt.Errorf("reading reference %q: want op://vault/item/field or op://vault/item/section/field", s)
	}
	for _, part := range parts { // a blank at the end is a slip, and none that 1Password keeps
		if strings.TrimSpace(part) != part {
			return Ref{}, fmt.Errorf("reading reference %q: a name in it begins or ends with a blank", s)
		}
	}
	plain, err := url.PathUnescape(path)
	if err != nil || strings.Count(plain, "/") != len(parts)-1 {
		return Ref{},
			fmt.Errorf("reading reference %q: it has a %% that is not %%XX; a percent sign of a name is written as "+
				"%%25, and one with a slash by its id", s)
	}
	return foreign(s, Ref{Store: storeOnePassword, Path: plain})
}

// arnParts is how many parts, separated by colons, the ARN of a secret has; ECS adds three.
const (
	arnParts    = 7
	ecsARNParts = arnParts + 3
)

// isSecretARN knows arn:<partition>:secretsmanager:<region>:<account>:secret:<name>.
func isSecretARN(s string) bool {
	parts := strings.Split(s, ":")
	return len(parts) >= arnParts && parts[0] == "arn" && strings.HasPrefix(parts[1], "aws") &&
		parts[2] == "secretsmanager" && parts[5] == "secret"
}

func parseARN(s string) (Ref, error) {
	arn, field, hasField := strings.Cut(s, "#")
	parts := strings.Split(arn, ":")
	r := Ref{Store: storeAWS, Path: arn, Field: field}
	switch {
	case hasField && field == "":
		return Ref{}, fmt.Errorf("reading reference %q: the field after '#' is empty", s)
	case len(parts) == arnParts:
	case len(parts) == ecsARNParts && !hasField:
		stage, version := parts[8], parts[9]
		if stage != "" && version != "" {
			return Ref{}, fmt.Errorf("reading reference %q: it has a version stage and a version id; keep one", s)
		}
		r = Ref{Store: storeAWS, Path: strings.Join(parts[:arnParts], ":"), Version: stage + version, Field: parts[7]}
	default:
		return Ref{},
			fmt.Errorf("reading reference %q: want the secret's ARN, as it is, with #field, or with "+
				":json-key:stage:version", s)
	}
	if parts[3] == "" || parts[4] == "" || parts[6] == "" {
		return Ref{}, fmt.Errorf("reading reference %q: the ARN has an empty region, account or name", s)
	}
	return foreign(s, r)
}

func parseFile(s string) (Ref, error) {
	path, field, hasField := strings.Cut(strings.TrimPrefix(s, "file://"), "#")
	if strings.Trim(path, "/") == "" || (hasField && field == "") {
		return Ref{}, fmt.Errorf("reading reference %q: want file:///absolute/path[#field]", s)
	}
	return foreign(s, Ref{Store: storeFile, Path: path, Field: field})
}

package azurekv

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"sallyport/internal/fault"
)

const maxName = 127

// What Key Vault's names have no room for, and what stands for it. Names are letters, digits and '-' alone.
//
//nolint:gochecknoglobals // two views of one table; never written to
var (
	toName = strings.NewReplacer("/", "--", "_", "-u-", ".", "-d-")
	toPath = strings.NewReplacer("--", "/", "-u-", "_", "-d-", ".")
)

// encode is the name that path stands for. A path that is a name is that name. In any other, '/' is written '--', '_'
// is '-u-' and '.' is '-d-', so that the secret of n8n/api_key is n8n--api-u-key; a path whose name would read back as
// another path is refused. Names are the same in upper and lower case, to the service.
func encode(path string) (string, error) {
	if path != "" && len(path) <= maxName && isName(path) {
		return path, nil
	}
	name := toName.Replace(path)
	switch {
	case strings.Trim(path, "/") == "", strings.Contains(path, "//"), hasDotSegment(path), !isName(name):
		return "", refusal{fault.WithHint(errors.New("not a name that Key Vault can hold"),
			"a name is letters, digits and '-'; '/', '_' and '.' are written as --, -u- and -d-")}
	case len(name) > maxName:
		return "", refusal{fmt.Errorf("the name has %d characters as Key Vault would hold it (%q), and may have %d",
			len(name), name, maxName)}
	case toPath.Replace(name) != path:
		return "", refusal{fault.WithHint(fmt.Errorf("the name would be %q in Key Vault, which stands for %q", name,
			toPath.Replace(name)), "have no '-' beside '/', '_' or '.', and no -u- or -d- in the name")}
	}
	return name, nil
}

// decode is the path that List shows for a name: the one that encode makes it of, or else the name itself.
func decode(name string) string {
	path := toPath.Replace(name)
	if again, err := encode(path); err == nil && again == name {
		return path
	}
	return name
}

func isName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

func isVersion(version string) bool {
	return len(version) == 32 && !strings.ContainsFunc(version, func(r rune) bool {
		return (r < 'a' || r > 'f') && (r < '0' || r > '9')
	})
}

// parseID reads https://<vault>/secrets/<name>[/<version>]; the SDK's own reading ends the process where the id is
// malformed.
func parseID(id *azsecrets.ID) (name, version string, err error) {
	if id == nil {
		return "", "", errHalf
	}
	u, err := url.Parse(string(*id))
	if err != nil {
		return "", "", errHalf
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "secrets" || parts[1] == "" {
		return "", "", errHalf
	}
	if len(parts) == 3 {
		version = parts[2]
	}
	return parts[1], version, nil
}

func parseVersion(id *azsecrets.ID) (string, error) {
	_, version, err := parseID(id)
	if err != nil || version == "" {
		return "", errHalf
	}
	return version, nil
}

package swarm

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	// maxName is the length of the longest name that Docker gives a secret.
	maxName = 64

	// labelName and labelVersion hold a family together.
	labelName    = "sallyport.name"
	labelVersion = "sallyport.version"

	// labelDeleted marks what Delete leaves in the place of a family, so that no number is given out twice.
	labelDeleted = "sallyport.deleted"
)

// dockerName is what Docker calls a version of a secret: NAME_vN. A name that Docker would not take is made one, with a
// hash of itself so that two do not meet.
func dockerName(path string, number int) string {
	suffix := "_v" + strconv.Itoa(number)
	if isPlain(path) && len(path)+len("_v999999") <= maxName {
		return path + suffix
	}
	sum := sha256.Sum256([]byte(path))
	hash := "-" + hex.EncodeToString(sum[:5])
	plain := strings.Map(func(r rune) rune {
		if !isPlainRune(r) {
			return '-'
		}
		return r
	}, path)
	plain = plain[:min(len(plain), maxName-len(hash)-len("_v999999"))]
	return strings.TrimLeft(plain+hash, "-_.") + suffix
}

func isPlain(path string) bool {
	return !strings.ContainsFunc(path, func(r rune) bool {
		return !isPlainRune(r)
	}) && !strings.ContainsAny(path[:1], "-_.")
}

func isPlainRune(r rune) bool {
	return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '-' ||
		r == '_' || r == '.'
}

// parseNumber reads a version's number as it is written: 1, 2, 3, …
func parseNumber(version string) (int, bool) {
	n, err := strconv.Atoi(version)
	return n, err == nil && n > 0 && strconv.Itoa(n) == version
}

package scrub

import (
	"strconv"
	"strings"
)

// Accept reduces an Accept-Encoding header (RFC 9110 section 12.5.3) to what
// [Decoder] reads, so that no response comes in a coding that can't be looked into.
// Weights stay as they are; a coding with weight 0 or a malformed weight is left
// out, and "*" stands for gzip. With nothing left it is "identity", also for an
// empty header.
func Accept(acceptEncoding string) string {
	var kept []string
	for item := range strings.SplitSeq(acceptEncoding, ",") {
		name, weight, weighted := strings.Cut(item, ";")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "*" && !strings.Contains(strings.ToLower(acceptEncoding), "gzip") {
			name = "gzip"
		}
		if name != "identity" && codingOf(name) == nil {
			continue
		}
		if weighted {
			q, ok := parseWeight(weight)
			if !ok {
				continue
			}
			name += ";q=" + q
		}
		kept = append(kept, name)
	}
	if len(kept) == 0 {
		return "identity"
	}
	return strings.Join(kept, ", ")
}

// parseWeight reads "q=0.5", and refuses a weight of 0.
func parseWeight(s string) (q string, ok bool) {
	key, q, _ := strings.Cut(strings.Trim(s, " \t"), "=")
	v, err := strconv.ParseFloat(q, 64)
	ok = strings.EqualFold(key, "q") && len(q) <= len("0.000") && err == nil && v > 0 && v <= 1
	return q, ok
}

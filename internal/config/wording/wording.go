// Package wording is how messages about a configuration speak of a word in it: which one was meant, and the word itself
// where that is safe.
//
// Invariant: what Show returns is never a secret that stands in the wrong place, as far as looks tell.
package wording

import (
	"strconv"
	"strings"
	"unicode"
)

// Nearest returns the one of the allowed words that someone who wrote got is likely to have meant, or "".
func Nearest(got string, allowed []string) string {
	best, bestDistance := "", 1+max(1, len(got)/3)
	for _, word := range allowed {
		if d := distance(fold(got), fold(word)); d < bestDistance {
			best, bestDistance = word, d
		}
	}
	for _, word := range allowed {
		if best == "" && len(got) > 2 &&
			(strings.HasPrefix(fold(got), fold(word)) || strings.HasPrefix(fold(word), fold(got))) {
			return word
		}
	}
	return best
}

// fold makes keyFile, key-file and key_file one word.
func fold(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}

// distance counts insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
func distance(a, b string) int {
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}

// Suggestion is the hint for a word that is not among the allowed ones.
func Suggestion(got string, allowed []string) string {
	if word := Nearest(got, allowed); word != "" {
		return "did you mean " + strconv.Quote(word) + "?"
	}
	if len(allowed) == 0 || len(allowed) > 24 {
		return ""
	}
	return "allowed: " + strings.Join(allowed, ", ")
}

// Show quotes a key or a value for a message, unless it is long or may be a secret in the wrong place.
func Show(s string) string {
	if len(s) > 64 || MayBeSecret(s) {
		return "this text"
	}
	return strconv.Quote(s)
}

// MayBeSecret goes by looks: a run of 16 or more characters of a key's alphabet with letters and digits mixed, or the
// beginning of a kind of key that is known.
func MayBeSecret(s string) bool {
	for _, prefix := range []string{
		"sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-",
		"xox", "pat", "spt_", "AKIA", "AIza", "SG.", "hf_", "Bearer ", "Basic ",
	} {
		if strings.HasPrefix(s, prefix) && len(s) > len(prefix)+4 {
			return true
		}
	}
	run, digits, letters := 0, false, false
	for _, r := range s {
		switch {
		case unicode.IsDigit(r):
			digits = true
		case unicode.IsLetter(r):
			letters = true
		case !strings.ContainsRune("_-+=.~", r):
			run, digits, letters = 0, false, false
			continue
		}
		if run++; run >= 16 && digits && letters {
			return true
		}
	}
	return false
}

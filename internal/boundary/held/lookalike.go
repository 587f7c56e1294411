package held

import "strings"

// The shortest run of characters that is taken for a key.
const (
	mixedKey = 16 // with upper and lower case and digits in it
	anyKey   = 20 // with letters and digits
	longRun  = 40 // of anything
)

// LookAlikes cuts what looks like a key out of a text of which nothing is known: long runs of letters and digits
// without a word's shape (sk-proj-…, ghp_…, AKIA…, a UUID, hex, base64, a JWT), and Telegram's numbers (123456:AAE…).
// It is for requests that came without a valid token or for no service: there, a path that cannot be read any more
// costs less than a key on record.
func LookAlikes(s string) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); {
		if !keyByte(s[i]) {
			i++
			continue
		}
		end := i
		for end < len(s) && keyByte(s[end]) {
			end++
		}
		if isKey(s[i:end]) {
			b.WriteString(s[done:i])
			b.WriteString(mark)
			done = end
		}
		i = end
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

func keyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-_+%=:.~$!*", c) >= 0
}

func isKey(run string) bool {
	var lower, upper, digits int
	for i := range len(run) {
		switch c := run[i]; {
		case 'a' <= c && c <= 'z':
			lower++
		case 'A' <= c && c <= 'Z':
			upper++
		case '0' <= c && c <= '9':
			digits++
		}
	}
	n := lower + upper + digits
	switch {
	case n >= longRun, n >= anyKey && digits > 0 && lower+upper > 0, n >= mixedKey && digits > 0 &&
		lower > 0 && upper > 0:
		return true
	case n >= mixedKey && digits >= n/2: // a number that is a key, or hex
		return true
	}
	// Letters alone: words are of one case, or begin with a capital; keys mix.
	return n >= mixedKey && lower > 3 && upper > 3 && digits == 0 && !strings.ContainsAny(run, "-_. ") &&
		switches(run) > 2*n/5
}

// switches counts how often the case of letters changes.
func switches(run string) (n int) {
	for i := 1; i < len(run); i++ {
		if (run[i] >= 'a') != (run[i-1] >= 'a') {
			n++
		}
	}
	return n
}

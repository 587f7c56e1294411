package token_test

import (
	"hash/crc32"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/boundary/token"
)

// sample is a well-formed token that was never issued.
const sample = "spt_0123456789_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG" // and a checksum

// withSum appends what Parse wants, computed another way than the package does.
func withSum(body string) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	sum := ""
	for crc := crc32.ChecksumIEEE([]byte(body)); len(sum) < 6; crc /= 62 {
		sum = string(digits[crc%62]) + sum
	}
	return body + sum
}

func TestParse(t *testing.T) {
	good := withSum(sample)
	for name, c := range map[string]struct {
		in string
		ok bool
	}{
		"a token":               {good, true},
		"empty":                 {"", false},
		"the prefix alone":      {"spt_", false},
		"a newline behind":      {good + "\n", false},
		"a space before":        {" " + good, false},
		"cut":                   {good[:len(good)-1], false},
		"one character wrong":   {strings.Replace(good, "_0123456789abc", "_0123456789abd", 1), false},
		"two characters turned": {strings.Replace(good, "_01", "_10", 1), false},
		"checksum wrong":        {sample + "000000", false},
		"another prefix":        {withSum("spx" + sample[3:]), false},
		"capitals in the id":    {withSum("spt_A" + sample[5:]), false},
		"no second underscore":  {withSum(sample[:14] + "0" + sample[15:]), false},
		"a dash in the value":   {withSum(sample[:20] + "-" + sample[21:]), false},
		"a NUL in the value":    {withSum(sample[:20] + "\x00" + sample[21:]), false},
		"too long":              {withSum(sample + "0"), false},
	} {
		id, ok := token.Parse(c.in)
		if ok != c.ok || (ok && id != "0123456789") || (!ok && id != "") {
			t.Errorf("%s: got %q, %t", name, id, ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(withSum(sample))
	f.Add(sample + "000000")
	f.Add("spt__")
	f.Add("")
	form := regexp.MustCompile(`\Aspt_([0-9a-z]{10})_[0-9A-Za-z]{49}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := token.Parse(s)
		match := form.FindStringSubmatch(s)
		if want := match != nil && withSum(s[:len(s)-6]) == s; ok != want {
			t.Fatalf("got %t, want %t", ok, want)
		}
		if ok && id != match[1] {
			t.Fatalf("got id %q, want %q", id, match[1])
		}
	})
}

func TestMintedTokensParse(t *testing.T) {
	r := newRegistry(t, openDB(t, filepath.Join(t.TempDir(), "state.db")), &clock{now: time.Unix(1_700_000_000, 0)})
	seen := make(map[string]bool)
	for range 20 {
		value, g := issue(t, r, "n8n", token.Scope{Services: []string{"*"}}, time.Time{})
		id, ok := token.Parse(value)
		if !ok || id != g.ID || len(value) != token.Length || seen[value] || seen[id] {
			t.Errorf("a token of %d bytes parses as %q, %t; its generation is %q", len(value), id, ok, g.ID)
		}
		seen[value], seen[id] = true, true
		if _, err := r.Revoke(t.Context(), g.ID); err != nil {
			t.Fatal(err)
		}
	}
}

package envfile_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/cli/envfile"
)

func TestParse(t *testing.T) {
	for src, want := range map[string]string{
		"":                                     "",
		"# comment\n\n  # another\n":           "",
		"A=1":                                  "1-1 A=1",
		"A=1\nB=2\n":                           "1-1 A=1|2-2 B=2",
		"export A=1":                           "1-1 A=1",
		"  A = 1  ":                            "1-1 A=1",
		"A=":                                   "1-1 A=",
		"A= # nothing":                         "1-1 A=",
		"FROM_OUTSIDE\nA=1":                    "2-2 A=1",
		"A=a b # comment":                      "1-1 A=a b",
		"A=a#b":                                "1-1 A=a#b",
		"A=a=b==":                              "1-1 A=a=b==",
		"A='single $X \\n # \"'":               "1-1 A=single $X \\n # \"",
		`A="double \"x\" \\ \n# '" # end`:      "1-1 A=double \"x\" \\ \n# '",
		"A=\"-----BEGIN\nkey\n-----END\"\nB=2": "1-3 A=-----BEGIN\nkey\n-----END|4-4 B=2",
		"A=1\r\nB='x\r\ny'\r\n":                "1-1 A=1|2-3 B=x\ny",
		"\xef\xbb\xbfA=1":                      "1-1 A=1",
		"A=1\nA=2":                             "1-1 A=1|2-2 A=2",
		"A=pa$$word":                           "1-1 A=pa$$word !",
		"A=\"x${B}\"":                          "1-1 A=x${B} !",
		"A=5$":                                 "1-1 A=5$",
	} {
		list, err := envfile.Parse([]byte(src))
		var got []string
		for _, v := range list {
			text := fmt.Sprintf("%d-%d %s=%s", v.First, v.Last, v.Name, v.Value.Reveal())
			if v.Problem != "" {
				text += " !"
			}
			got = append(got, text)
		}
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, %v; want %q", src, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const canary = "sk-canary-0123456789"
	for src, want := range map[string]string{
		"A=1\n" + canary + "=":       "",
		"A=1\n= " + canary:           "line 2: want NAME=value",
		"- A=" + canary:              "line 1: want NAME=value",
		"A=\"" + canary:              "line 1: the closing quote is missing",
		"A=1\nB='" + canary + "\n\n": "line 3: the closing quote is missing",
		"A='" + canary + "'x":        "line 1: there is something behind",
		"A=" + canary + "\x00":       "line 1: the value has a NUL",
	} {
		_, err := envfile.Parse([]byte(src))
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", src, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %v, want %s", src, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("A=1\nexport B='x y' # c\nC=\"a\\n\nb\"")
	f.Fuzz(func(t *testing.T, src string) {
		list, err := envfile.Parse([]byte(src))
		if err != nil {
			return
		}
		lines := strings.Count(src, "\n") + 1
		for _, v := range list {
			if v.Name == "" || v.First < 1 || v.Last < v.First || v.Last > lines {
				t.Errorf("%q from line %d to %d of %d", v.Name, v.First, v.Last, lines)
			}
		}
	})
}

package held_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"sallyport/internal/boundary/held"
)

var secrets = [][]byte{
	[]byte("123456:AAEhBOweik6ad6PsVxhOi0aExampleKey"), []byte("sk-live/with+plus==and more"), []byte("abcd"),
	[]byte("sk-proj-one-0001"), []byte("sk-proj-two-0002"), []byte("x"),
}

// forms are ways in which a secret stands in a path, a query or a header.
func forms(secret string) map[string]string {
	all := map[string]string{
		"raw": secret, "path": url.PathEscape(secret), "query": url.QueryEscape(secret), "twice": url.PathEscape(url.PathEscape(secret)),
		"hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	every := ""
	for _, c := range []byte(secret) {
		every += fmt.Sprintf("%%%02x", c)
	}
	all["every byte"] = every
	all["plus in a query name, escaped again"] = strings.ReplaceAll(url.QueryEscape(secret), "%", "%25")
	jsonText, _ := json.Marshal(secret)
	all["JSON"] = strings.Trim(string(jsonText), `"`)
	all["JSON with slashes"] = strings.ReplaceAll(all["JSON"], "/", `\/`)
	all["HTML"] = html.EscapeString(secret)
	var u, dec, hexRef, x string
	for _, c := range []byte(secret) {
		u += fmt.Sprintf(`\u%04x`, c)
		dec += fmt.Sprintf("&#%d;", c)
		hexRef += fmt.Sprintf("&#x%04X;", c)
		x += fmt.Sprintf(`\x%02X`, c)
	}
	all["JSON, every character"], all["HTML, every character"], all["HTML, hexadecimal"], all[`\x`] = u, dec, hexRef, x
	all["JSON in a URL"], all["HTML in a URL"] = url.PathEscape(u), url.PathEscape(dec)
	for shift := range 3 {
		for name, enc := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding} {
			all[fmt.Sprint("base64 ", name, shift)] = enc.EncodeToString([]byte(strings.Repeat("-",
				shift) + secret + "-"))
		}
	}
	return all
}

// TestCut: no form of a held secret stays, wherever it stands, and everything else does.
func TestCut(t *testing.T) {
	x := held.Compile(secrets)
	for _, secret := range []string{
		string(secrets[0]), "sk-live/with+plus==and more", "sk-proj-one-0001",
		"sk-proj-two-0002",
	} {
		for name, form := range forms(secret) {
			for _, frame := range []string{"%s", "/bot%s/getMe", "/a/%s", "x?%s=[redacted]", "%[1]s%[1]s"} {
				text := fmt.Sprintf(frame, form)
				got := x.Cut(text)
				if !strings.Contains(got, "…") ||
					strings.Contains(strings.ToLower(got), strings.ToLower(form[len(form)/4:len(form)*3/4])) ||
					strings.Contains(got, secret) {
					t.Errorf("%s: %q became %q", name, text, got)
				}
				if strings.HasSuffix(frame, "getMe") &&
					(!strings.HasPrefix(got, "/bot") || !strings.HasSuffix(got, "/getMe")) {
					t.Errorf("%s: %q lost what is no secret: %q", name, text, got)
				}
			}
		}
	}
	if got := x.Cut("/v/abcd/e"); got != "/v/…/e" {
		t.Errorf("a short secret: got %q", got)
	}
	for _, text := range []string{
		"", "x", "abc", "/v1/chat/completions", "sk-proj-three-0003", "100%", "%zz%41",
		"/a%2Fb", strings.Repeat("a%41", 100), `C:\new\x41`, "a&amp;b&#60;", "x?a=[redacted]&b=[redacted]", "a+b",
	} {
		if got := x.Cut(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	var none *held.Index
	if got := none.Cut("abcd"); got != "abcd" || !held.Compile(nil).Empty() {
		t.Errorf("an empty index cut: %q", got)
	}
}

func TestCutDoesNotAllocate(t *testing.T) {
	x := held.Compile(secrets)
	text := "/open-apis/im/v1/messages?receive_id_type=[redacted]"
	if n := testing.AllocsPerRun(100, func() { _ = x.Cut(text) }); n != 0 {
		t.Errorf("%v allocations for a text without a secret", n)
	}
}

func TestLookAlikes(t *testing.T) {
	for text, want := range map[string]string{
		"/bot123456:AAEhBOweik6ad6PsVxhOi0aExampleKey/getMe": "/…/getMe", "/sk-proj-abcDEF123456/x": "/…/x", "/k/0123456789abcdef0123456789abcdef": "/k/…",
		"/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX9": "/services/T00000000/B00000000/…", "AKIAIOSFODNN7EXAMPLE1": "…", "ghp_16C7e42F292c6912E7710c838347Ae178B4a": "…",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc": "…", "/hook/%41%42%43%44%45%46%47%48%49%50%51": "/hook/…", "aBcDeFgHiJkLmNoPqRsT": "…",
		"/v1/chat/completions": "/v1/chat/completions", "/open-apis/im/v1/messages": "/open-apis/im/v1/messages", "Monthly report (copy 2)": "Monthly report (copy 2)",
		"/rest/api/3/issue/PROJ-1234": "/rest/api/3/issue/PROJ-1234", "/getUpdatesWithLongName": "/getUpdatesWithLongName", "": "", "/": "/",
		"/2024-06-01/items": "/2024-06-01/items", "/very-long-but-wordy-name": "/very-long-but-wordy-name",
	} {
		if got := held.LookAlikes(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("/bot", "AAE:123456789", "/getMe")
	f.Add("%25", "12345678", "%")
	f.Fuzz(func(t *testing.T, before, secret, after string) {
		x := held.Compile([][]byte{[]byte(secret)})
		if len(secret) < 4 || strings.Contains(secret, "…") {
			return
		}
		if got := x.Cut(before + secret + after); strings.Contains(got, secret) {
			t.Errorf("%q stays in %q", secret, got)
		}
	})
}

// BenchmarkRecord cuts the four texts of an ordinary record.
func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{50, 1000} {
		var many [][]byte
		for i := range n {
			many = append(many, fmt.Appendf(nil, "sk-live-%08d-%032x", i, i*7919))
		}
		x := held.Compile(many)
		for name, texts := range map[string][]string{
			"ordinary": {"/open-apis/im/v1/messages?receive_id_type=[redacted]", "Monthly report", "184467", "HTTP Request"},
			"escaped":  {"/v1/files/Monthly%20report%202026?name=[redacted]&kind=[redacted]", "Monthly report", "184467", "HTTP Request"},
		} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				size := 0
				for _, text := range texts {
					size += len(text)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					for _, text := range texts {
						x.Cut(text)
					}
				}
			})
		}
	}
}

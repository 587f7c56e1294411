package scrub_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/boundary/scrub"
)

// naive masks every byte of every occurrence of every form: the definition that
// Set and Stream are held to.
func naive(s *scrub.Set, text string) (masked string, count int) {
	cover := make([]bool, len(text)+1)
	starts := map[int]int{} // start of an occurrence → the furthest end
	for _, m := range s.Matchers() {
		for at := 0; at+len(m.Text) <= len(text); at++ {
			i := 0
			for i < len(m.Text) && m.At(text[at:], i) {
				i++
			}
			if i == len(m.Text) {
				starts[at] = max(starts[at], at+i)
				for j := at; j < at+i; j++ {
					cover[j] = true
				}
			}
		}
	}
	out, end := []byte(text), 0
	for at := range out {
		if to, ok := starts[at]; ok {
			if at >= end {
				count++
			}
			end = max(end, to)
		}
		if cover[at] {
			out[at] = '*'
		}
	}
	return string(out), count
}

// streamed sends text through a Stream, cut at the given places.
func streamed(s *scrub.Set, text string, inPlace bool, cuts ...int) (masked string, count int) {
	st := s.Stream()
	var out []byte
	from := 0
	for _, cut := range append(cuts, len(text)) {
		chunk := []byte(text[from:cut])
		from = cut
		if inPlace {
			buf := append(make([]byte, st.Held()), chunk...)
			out = append(out, st.InPlace(buf)...)
			continue
		}
		out = st.Write(out, chunk)
	}
	out = st.Flush(out)
	return string(out), st.Count()
}

func TestMaskOverlapping(t *testing.T) {
	tests := []struct {
		name    string
		secrets []string
		text    string
		want    string
		count   int
	}{
		{"nothing", []string{"abcd"}, "the quick brown fox", "the quick brown fox", 0},
		{"whole text", []string{"abcd"}, "abcd", "****", 1},
		{"at both ends", []string{"abcd"}, "abcd-abcd", "****-****", 2},
		{"adjacent", []string{"abcd"}, "abcdabcd", "********", 2},
		{"self-overlapping", []string{"abab"}, "xabababx", "x******x", 1},
		{"two that overlap", []string{"abcd", "cdef"}, "-abcdef-", "-******-", 1},
		{"one inside the other", []string{"abcdefgh", "cdef"}, "-abcdefgh-cdef-", "-********-****-", 2},
		{"prefix of the other", []string{"abcdef", "abcd"}, "-abcdef-abcdx", "-******-****x", 2},
		{"inside of one that does not complete", []string{"abcdefgh", "cdef"}, "-abcdefx-", "-ab****x-", 1},
		{"one byte into one that does not complete", []string{"abcdefgh", "bcde"}, "-abcdex-", "-a****x-", 1},
		{"chain", []string{"abcd", "defg", "ghij"}, "-abcdefghij-", "-**********-", 1},
		{"run", []string{"aaaa"}, "-aaaaaaaaa-", "-*********-", 1},
		{"too short to look for", []string{"abc", ""}, "-abc-", "-abc-", 0},
		{"not quite", []string{"abcd"}, "abcABCDabdc", "abcABCDabdc", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set := compile(tt.secrets...)
			if got, n := naive(set, tt.text); got != tt.want || n != tt.count {
				t.Fatalf("the reference itself says %q, %d; want %q, %d", got, n, tt.want, tt.count)
			}
			if got, n := set.String(tt.text); got != tt.want || n != tt.count {
				t.Errorf("String = %q, %d; want %q, %d", got, n, tt.want, tt.count)
			}
			for i := 0; i <= len(tt.text); i++ {
				for j := i; j <= len(tt.text); j++ {
					for _, inPlace := range []bool{false, true} {
						if got, n := streamed(set, tt.text, inPlace, i, j); got != tt.want || n != tt.count {
							t.Fatalf("cut at %d and %d, in place %t: %q, %d; want %q, %d", i, j, inPlace, got,
								n, tt.want, tt.count)
						}
					}
				}
			}
		})
	}
}

// TestEveryForm embeds every form of awkward secrets in text and cuts it at every
// place, and into single bytes.
func TestEveryForm(t *testing.T) {
	set := compile("p@ss w/rd+\"<ü&'>\\=", "sk-live_51H8xAbCdEf0123456789", "\xab\x00\xff\xfe\xcd\xef\n")
	for _, m := range set.Matchers() {
		for _, form := range []string{m.Text, strings.ToUpper(m.Text)} {
			text := "{\"k\":\"" + form + "\",%2" + form[:len(form)/2] + form
			want, wantCount := naive(set, text)
			if form == m.Text && strings.Contains(want, form) {
				t.Fatalf("the reference leaves %q in %q", form, want)
			}
			var every []int
			for cut := range len(text) {
				every = append(every, cut)
				if got, n := streamed(set, text, false, cut); got != want || n != wantCount {
					t.Fatalf("%q cut at %d: %q, %d; want %q, %d", text, cut, got, n, want, wantCount)
				}
			}
			if got, _ := streamed(set, text, true, every...); got != want {
				t.Fatalf("%q byte by byte: %q, want %q", text, got, want)
			}
		}
	}
}

// TestRandomTexts compares with the reference on texts made of pieces of secrets
// over a small alphabet, where nearly everything overlaps.
func TestRandomTexts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ab%2"[rng.IntN(4)]
		}
		return string(b)
	}
	for range 300 {
		secrets := []string{letters(4 + rng.IntN(3)), letters(4 + rng.IntN(6)), letters(5)}
		set := compile(secrets...)
		forms := set.Matchers()
		var text strings.Builder
		for text.Len() < 60 {
			f := forms[rng.IntN(len(forms))].Text
			text.WriteString(f[:rng.IntN(len(f)+1)])
			text.WriteString(letters(rng.IntN(4)))
		}
		check(t, set, text.String(), rng)
	}
}

// check holds a text to what is promised: masked is what the naive reference masks, whatever escapes there are beside
// it; the same bytes are masked however the text is cut; and decoding all that comes out shows no secret.
func check(t *testing.T, set *scrub.Set, text string, rng *rand.Rand, secrets ...string) {
	t.Helper()
	whole := []byte(text)
	wantCount := set.Bytes(whole)
	want := string(whole)
	literal, n := naive(set, text)
	for i := range literal {
		if literal[i] == '*' && want[i] != '*' {
			t.Fatalf("%q: got %q, which leaves what is there as it is: %q", text, want, literal)
		}
	}
	if !strings.ContainsAny(text, "%&\\=\r\n") && (literal != want || n != wantCount) {
		t.Fatalf("%q: got %q, %d; want %q, %d", text, want, wantCount, literal, n)
	}
	for _, s := range secrets {
		if len(s) < scrub.MinLength || strings.Trim(s, "*") == "" {
			continue
		}
		for _, decoded := range decodeAll(want) {
			if strings.Contains(decoded, s) {
				t.Fatalf("%q: got %q, which decodes to %q with %q in it", text, want, decoded, s)
			}
		}
	}
	var cuts []int
	for at := rng.IntN(8); at < len(text); at += rng.IntN(8) {
		cuts = append(cuts, at)
	}
	for _, inPlace := range []bool{false, true} {
		got, n := streamed(set, text, inPlace, cuts...)
		if n != wantCount || differs(got, want, text) > 3*n {
			t.Fatalf("%q cut at %v, in place %t: %q, %d; want %q, %d", text, cuts, inPlace, got, n, want, wantCount)
		}
	}
}

// differs counts the bytes that got shows and want masks; any other difference counts for very many. A stream may let
// the first three bytes of a form go where a line breaks behind them.
func differs(got, want, text string) (n int) {
	if len(got) != len(want) {
		return 1 << 20
	}
	for i := range got {
		switch {
		case got[i] == want[i]:
		case want[i] == '*' && got[i] == text[i]:
			n++
		default:
			return 1 << 20
		}
	}
	return n
}

func FuzzStream(f *testing.F) {
	f.Add("abcdef", "cdefgh", "xxabcdefghxx", uint64(1))
	f.Add("p@ss w/rd", "aaaa", "p%40ss+w%2Frd p@ss\\u0020aaaaaaa", uint64(2))
	f.Add("secret-value", "value-secret", "c2VjcmV0LXZhbHVl secret-value-secret-value", uint64(3))
	f.Add("k%y&x\\", "a=b;c", "k%25y&amp;x\\\\ a=3Db&semi;c k&#37;y\\u0026x&bsol;", uint64(4))
	f.Fuzz(func(t *testing.T, a, b, text string, seed uint64) {
		if len(a)+len(b) > 100 || len(text) > 2000 {
			return // the reference is quadratic
		}
		set := compile(a, b)
		rng := rand.New(rand.NewPCG(seed, seed))
		check(t, set, text, rng, a, b)
		for _, m := range set.Matchers() {
			check(t, set, text+m.Text[:rng.IntN(len(m.Text))]+m.Text+text, rng)
		}
		for range 20 {
			spelled := spell(a, rng)
			check(t, set, text+spelled[:rng.IntN(len(spelled)+1)]+"~"+spelled+"~"+text, rng, a)
		}
	})
}

func TestHoldsBackNoMoreThanNeeded(t *testing.T) {
	st := compile("sk-live_51H8xAbCdEf").Stream()
	steps := []struct{ chunk, want string }{
		{"data: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"},
		{"data: sk-", "data: "},
		{"no", "sk-no"},
		{"s", ""},
		{"s", "s"},
		{"k-live_51H8xAbCdE", ""},
		{"f\n", "*******************\n"},
	}
	for _, s := range steps {
		if got := string(st.Write(nil, []byte(s.chunk))); got != s.want {
			t.Fatalf("Write(%q) = %q, want %q", s.chunk, got, s.want)
		}
	}
	if got := st.Flush(nil); len(got) != 0 {
		t.Errorf("Flush = %q, want nothing", got)
	}
}

func TestRelease(t *testing.T) {
	const secret = "sk-live_51H8xAbCdEf"
	t.Run("goes on as something else", func(t *testing.T) {
		st := compile(secret).Stream()
		out := st.Write(nil, []byte("yes"))
		out = st.Release(out)
		if got := string(out); got != "yes" {
			t.Fatalf("after Release: %q, want all of it", got)
		}
		out = st.Release(out)
		out = st.Write(out, []byte("k"))
		out = st.Write(out, []byte(" and more"))
		if got := string(st.Flush(out)); got != "yesk and more" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("goes on as the secret", func(t *testing.T) {
		st := compile(secret).Stream()
		out := st.Release(st.Write(nil, []byte("=sk")))
		out = st.Write(out, []byte(secret[2:]+"="))
		if got, want := string(st.Flush(out)), "=sk"+strings.Repeat("*", len(secret)-2)+"="; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("keeps a longer tail", func(t *testing.T) {
		st := compile(secret).Stream()
		out := st.Write(nil, []byte("=sk-l"))
		if got := string(st.Release(out)); got != "=" {
			t.Errorf("Release gave away %q", got)
		}
	})
}

func TestWriteAppends(t *testing.T) {
	st := compile("abcdef").Stream()
	chunk := []byte("x abcdef ab")
	if got := string(st.Write([]byte("before "), chunk)); got != "before x ****** " {
		t.Errorf("Write = %q", got)
	}
	if string(chunk) != "x abcdef ab" {
		t.Errorf("Write changed its chunk to %q", chunk)
	}
	if got := string(st.Flush([]byte("before "))); got != "before ab" {
		t.Errorf("Flush = %q", got)
	}
}

func TestEmptySet(t *testing.T) {
	for _, set := range []*scrub.Set{nil, scrub.Compile(), scrub.Compile(nil, []byte{}, []byte("abc"))} {
		if !set.Empty() {
			t.Error("not empty")
		}
		if got, n := set.String("abc"); got != "abc" || n != 0 {
			t.Errorf("String = %q, %d", got, n)
		}
		if n := set.Bytes([]byte("abc")); n != 0 {
			t.Errorf("Bytes = %d", n)
		}
		st := set.Stream()
		if got := st.Flush(st.Write(nil, []byte("abc"))); !bytes.Equal(got, []byte("abc")) {
			t.Errorf("stream = %q", got)
		}
	}
}

func TestCleanAllocatesNothing(t *testing.T) {
	set := compile(benchSecrets...)
	st := set.Stream()
	clean := strings.Repeat("application/json; charset=utf-8, ", 40)
	chunk, dst := []byte(clean), make([]byte, 0, 2*len(clean))
	for name, f := range map[string]func(){
		"String":  func() { set.String(clean) },
		"Bytes":   func() { set.Bytes(chunk) },
		"Write":   func() { st.Write(dst, chunk) },
		"InPlace": func() { st.InPlace(chunk) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func compile(secrets ...string) *scrub.Set {
	var values [][]byte
	for _, s := range secrets {
		values = append(values, []byte(s))
	}
	return scrub.Compile(values...)
}

var benchSecrets = []string{
	"sk-proj-4fJ2mQ9vXk7LpB1nZc8RtYw3HsEaUd6G",
	"ghp_16C7e42F292c6912E7710c838347Ae178B4a",
	"xoxb-2314567890-2345678901234-AbCdEfGhIjKlMnOpQrStUvWx",
	"AKIAIOSFODNN7EXAMPLE",
	"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}

func texts(n int) map[string][]byte {
	rng := rand.New(rand.NewPCG(3, 4))
	random := make([]byte, n)
	base64 := make([]byte, n)
	var json bytes.Buffer
	for i := range n {
		random[i] = byte(rng.Uint32())
		base64[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[rng.IntN(64)]
	}
	for json.Len() < n {
		fmt.Fprintf(&json,
			`{"id":"msg_%08x","object":"chat.completion","created":%d,"content":"The quick brown fox, %d times","usage":{"prompt_tokens":%d}},`,
			rng.Uint32(), rng.IntN(2e9), rng.IntN(100), rng.IntN(4000))
	}
	return map[string][]byte{"json": json.Bytes()[:n], "base64": base64, "random": random}
}

func BenchmarkStreamClean(b *testing.B) {
	long := texts(4 << 10)["base64"]
	slices.Reverse(long) // what the texts below do not hold
	jwts := [2]string{string(long[:2<<10]), string(long[2<<10:])}
	// a token, and the one before it with their client's secret
	sets := map[string]*scrub.Set{
		"5": compile(benchSecrets...), "1": compile(benchSecrets[0]),
		"short": compile("hunter22"), "jwt": compile(jwts[0]), "jwts": compile(jwts[0], jwts[1], benchSecrets[0]),
	}
	for name, set := range sets {
		for _, size := range []int{1 << 10, 64 << 10} {
			for kind, text := range texts(size) {
				b.Run(fmt.Sprintf("secrets=%s/%s/%d", name, kind, size), func(b *testing.B) {
					st := set.Stream()
					buf := make([]byte, 0, size+4096)
					b.SetBytes(int64(size))
					b.ReportAllocs()
					for b.Loop() {
						held := st.Held()
						st.InPlace(append(buf[:held], text...))
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/byte")
				})
			}
		}
	}
}

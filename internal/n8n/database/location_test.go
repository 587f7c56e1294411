package database_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/n8n/database"
	"sallyport/internal/secret"
)

// Ciphertexts, made once by openssl and by n8n.
const (
	cbc1     = "U2FsdGVkX1//kUIaoFgJVX6lckSCXLtdAtL/A5pcUo4="
	cbc2     = "U2FsdGVkX1+HnRE2jXqEaLUNgOHNC98t70mUqWD7DpapMevHMg2zLykTObb+2F1B"
	gcm      = "AeR7RsYt/wqOwNbp71+ZIzkS8AtbyBxwRon5z36P/f36nD6VA/Rc6OwXOTFgDuVrxwqgkB4sVrqpvwwetDN0a1MZCPvp9ojNa7Yxba0="
	keyID    = "AbCd_f-123456789"
	prefixed = keyID + ":" + gcm
)

var (
	whole  = database.Location{Table: "t", Column: "c", Layout: database.Whole}
	list   = database.Location{Table: "t", Column: "c", Layout: database.List}
	object = database.Location{
		Table: "settings", Column: "value", Setting: "s", Layout: database.Object,
		Paths: []string{"user", "password"},
	}
	flatted = database.Inventory()[slices.IndexFunc(database.Inventory(), func(p database.Location) bool {
		return p.Layout == database.Flatted
	})]
)

func TestValuesAndReplace(t *testing.T) {
	for name, c := range map[string]struct {
		location database.Location
		cell     string
		want     []database.Value // nil and no replaced: ErrCell
		stored   []string
		after    string
	}{
		"whole":                  {whole, cbc1, []database.Value{{"", cbc1}}, []string{"new"}, "new"},
		"whole, anything at all": {whole, "not ciphertext\xff", []database.Value{{"", "not ciphertext\xff"}}, []string{"new"}, "new"},
		"whole, empty":           {whole, "", []database.Value{}, nil, ""},
		"list":                   {list, cbc1 + "," + prefixed, []database.Value{{"0", cbc1}, {"1", prefixed}}, []string{"a", "b"}, "a,b"},
		"list with gaps":         {list, ",a,,b,", []database.Value{{"1", "a"}, {"3", "b"}}, []string{"x", "b"}, ",x,,b,"},
		"list, empty":            {list, "", []database.Value{}, nil, ""},
		"object, in the order of the bytes": {
			object, "{ \"password\" : \"p\\u0061\",\n\"ä\":{\"user\":\"no\"}, \"user\":\"u\"}\n",
			[]database.Value{{"password", "pa"}, {"user", "u"}},
			[]string{"\"\\<", "u"},
			"{ \"password\" : \"\\\"\\\\<\",\n\"ä\":{\"user\":\"no\"}, \"user\":\"u\"}\n",
		},
		"object, escapes stay": {object, `{"user":"\u0061\/","x":1.50e+3}`, []database.Value{{"user", "a/"}}, []string{"a/"}, `{"user":"\u0061\/","x":1.50e+3}`},
		"object, escaped key":  {object, `{"\u0075ser":"v"}`, []database.Value{{"user", "v"}}, []string{"w"}, `{"\u0075ser":"w"}`},
		"object, none":         {object, `{"user":"","password":null,"a":[],"b":{},"c":-1,"d":true}`, []database.Value{}, nil, `{"user":"","password":null,"a":[],"b":{},"c":-1,"d":true}`},
		"object, empty":        {object, `{}`, []database.Value{}, nil, `{}`},
		"object, no string":    {object, `{"user":7}`, nil, nil, ""},
		"object, twice":        {object, `{"user":"a","user":"b"}`, nil, nil, ""},
		"object, an array":     {object, `["user"]`, nil, nil, ""},
		"object, no JSON":      {object, `{"user":"a"`, nil, nil, ""},
		"object, empty cell":   {object, ``, nil, nil, ""},
		"flatted": {
			flatted,
			`[{"version":1,"executionData":"1"},{"runtimeData":"2"},{"establishedAt":1,"credentials":"3","secureArtifacts":"4"},"` + cbc1 + `","x"]`,
			[]database.Value{
				{"executionData.runtimeData.credentials", cbc1},
				{"executionData.runtimeData.secureArtifacts", "x"},
			},
			[]string{"a", "b"},
			`[{"version":1,"executionData":"1"},{"runtimeData":"2"},{"establishedAt":1,"credentials":"3","secureArtifacts":"4"},"a","b"]`,
		},
		"flatted, contexts of others": {
			flatted, `[{"parentExecution":"1"},{"executionContext":"2"},{"establishedAt":5,"credentials":"3"},"` +
				prefixed + `",{"credentials":"3"},{"establishedAt":5,"credentials":"6"},{"x":{}}]`,
			[]database.Value{{"[2].credentials", prefixed}},
			[]string{cbc1},
			`[{"parentExecution":"1"},{"executionContext":"2"},{"establishedAt":5,"credentials":"3"},"` + cbc1 + `",{"credentials":"3"},{"establishedAt":5,"credentials":"6"},{"x":{}}]`,
		},
		"flatted, a chat": {
			flatted, `[ {"a":"1"} , ["2"], {"json":"4","encryptedMetadata":"3"}, "` + cbc2 +
				`", {"encryptedMetadata":"5"}, "a user's own"]`,
			[]database.Value{{"[2].encryptedMetadata", cbc2}},
			[]string{prefixed},
			`[ {"a":"1"} , ["2"], {"json":"4","encryptedMetadata":"3"}, "` + prefixed + `", {"encryptedMetadata":"5"}, "a user's own"]`,
		},
		"flatted, a node's credentials":   {flatted, `[{"credentials":"1"},{"httpHeaderAuth":"2"},{"id":"3"},"` + cbc1 + `"]`, []database.Value{}, nil, `[{"credentials":"1"},{"httpHeaderAuth":"2"},{"id":"3"},"` + cbc1 + `"]`},
		"flatted, a reference to nowhere": {flatted, `[{"executionData":"7"}]`, nil, nil, ""},
		"flatted, no string":              {flatted, `[{"executionData":"1"},{"runtimeData":"2"},{"credentials":"1"}]`, nil, nil, ""},
		"flatted, empty":                  {flatted, `[]`, nil, nil, ""},
		"flatted, an object":              {flatted, `{}`, nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := c.location.Values(c.cell)
			if c.want == nil {
				if !errors.Is(err, database.ErrCell) {
					t.Errorf("got %v, %v", values, err)
				}
				return
			}
			if diff := cmp.Diff(c.want, values); diff != "" || err != nil {
				t.Fatalf("%v\n%s", err, diff)
			}
			if after, err := c.location.Replace(c.cell, c.stored); after != c.after || err != nil {
				t.Errorf("got  %q, %v\nwant %q", after, err, c.after)
			}
			if same, err := c.location.Replace(c.cell, stored(values)); same != c.cell || err != nil {
				t.Errorf("with its own values it becomes %q, %v", same, err)
			}
			if _, err := c.location.Replace(c.cell, append(c.stored, "one more")); !errors.Is(err, database.ErrCell) {
				t.Errorf("with a value too many: %v", err)
			}
		})
	}
}

func stored(values []database.Value) (out []string) {
	for _, v := range values {
		out = append(out, v.Stored)
	}
	return out
}

func TestReplaceRefusesWhatACellCannotHold(t *testing.T) {
	for _, c := range []struct {
		location database.Location
		cell     string
		stored   string
	}{{whole, "a", ""}, {list, "a", "b,c"}, {list, "a", ""}, {object, `{"user":"a"}`, "\xff"}} {
		if got, err := c.location.Replace(c.cell, []string{c.stored}); !errors.Is(err, database.ErrCell) {
			t.Errorf("%q in %q: %q, %v", c.stored, c.cell, got, err)
		}
	}
}

// TestRight tells plaintexts from what a wrong key makes of CBC values.
func TestRight(t *testing.T) {
	json, text := database.Location{Plain: database.PlainObject}, database.Location{Plain: database.PlainText}
	for _, c := range []struct {
		location database.Location
		plain    string
		want     bool
	}{
		{json, `{"user":"ä","n":1}`, true},
		{json, `{}`, true},
		{json, `[]`, false},
		{json, `"text"`, false},
		{json, `{"a":`, false},
		{json, ``, false},
		{json, "\x8f\x13", false},
		{text, "JBSWY3DPEHPK3PXP", true},
		{text, "-----BEGIN PRIVATE KEY-----\nä\r\n", true},
		{text, "pass word\t", true},
		{text, "", true},
		{text, "a\x00b", false},
		{text, "\x8f\x13", false},
		{text, "a\x7f", false},
	} {
		if got := c.location.Right([]byte(c.plain)); got != c.want {
			t.Errorf("%q as %s: %v", c.plain, c.location.Plain, got)
		}
	}
}

// TestRightRefusesGarbage opens values with wrong keys: what the padding lets through is not taken for a plaintext.
func TestRightRefusesGarbage(t *testing.T) {
	right, passed := database.Location{Plain: database.PlainText}, 0
	for i := range 3000 {
		key := secret.NewValue([]byte(strings.Repeat("k", 1+i%50) + string(rune('a'+i/50))))
		if plain, err := cipher.NewCBC(key).Decrypt(cbc2); err == nil {
			if passed++; right.Right(plain.Reveal()) {
				t.Errorf("key %d gives a plaintext", i)
			}
		}
	}
	if passed == 0 {
		t.Error("no wrong key passes the padding: the test proves nothing")
	}
}

// FuzzReplace: whatever a cell says, its own values put back leave every byte as it is, and other values change nothing
// else.
func FuzzReplace(f *testing.F) {
	f.Add(uint8(0), cbc1, "new")
	f.Add(uint8(1), cbc1+",,"+prefixed, "new")
	f.Add(uint8(2), `{"a":[{"user":"x"}],"user":"\u0061\\\"", "password" : "`+cbc1+`" }`, "\"\\\n")
	f.Add(uint8(3), `[{"executionData":"1"},{"runtimeData":"2"},{"establishedAt":1,"credentials":"3"},"`+cbc1+
		`",{"encryptedMetadata":"5"},"`+prefixed+`"]`, gcm)
	f.Add(uint8(3), `[{"executionData":"0","runtimeData":"0","credentials":"1"},"\ud800"]`, "x")
	f.Fuzz(func(t *testing.T, layout uint8, cell, value string) {
		location := []database.Location{whole, list, object, flatted}[layout%4]
		values, err := location.Values(cell)
		if err != nil {
			if !errors.Is(err, database.ErrCell) || strings.Contains(err.Error(), cell) && len(cell) > 20 {
				t.Fatal(err)
			}
			return
		}
		if same, err := location.Replace(cell, stored(values)); err != nil || same != cell {
			t.Fatalf("%q became %q, %v", cell, same, err)
		}
		others := make([]string, len(values))
		for i := range others {
			others[i] = value
		}
		after, err := location.Replace(cell, others)
		if err != nil {
			return // nothing that the cell can hold
		}
		if layout%4 >= 2 && !json.Valid([]byte(after)) {
			t.Fatalf("%q became %q", cell, after)
		}
		again, err := location.Values(after)
		if err != nil || len(again) != len(values) {
			// A place that is known by what it looks like is no place with another text in it.
			if location.Layout == database.Flatted && cipher.FormOf(value) != cipher.FormCBC {
				return
			}
			t.Fatalf("%q became %q, with %d values for %d, %v", cell, after, len(again), len(values), err)
		}
		for i := range again {
			if again[i].Stored != value {
				t.Fatalf("%q became %q, with %q", cell, after, again[i].Stored)
			}
		}
		if !utf8.ValidString(cell) {
			return // and so nothing that could be put back
		}
		if back, err := location.Replace(after, stored(values)); err != nil || location.Layout != database.Flatted &&
			decoded(t, location, back) != decoded(t, location, cell) {
			t.Fatalf("%q came back as %q, %v", cell, back, err)
		}
	})
}

// decoded is what a reader of the cell sees.
func decoded(t *testing.T, location database.Location, cell string) string {
	if location.Layout == database.Whole || location.Layout == database.List {
		return cell
	}
	var v any
	if err := json.Unmarshal([]byte(cell), &v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

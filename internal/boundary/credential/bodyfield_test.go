package credential_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/fault"
)

func TestJSONField(t *testing.T) {
	for name, c := range map[string]struct{ body, pointer, want string }{
		"missing":                {`{"a":1}`, "/key", `{"key":"K","a":1}`},
		"missing, empty":         {` { } `, "/key", ` {"key":"K" } `},
		"no body":                {"", "/key", `{"key":"K"}`},
		"blank body":             {" \r\n", "/key", `{"key":"K"}`},
		"replaced":               {"{\n  \"a\": 1e1,\n  \"key\" : null ,\"b\":[ ]}\n", "/key", "{\n  \"a\": 1e1,\n  \"key\" : \"K\" ,\"b\":[ ]}\n"},
		"an object replaced":     {`{"key":{"x":["}",{"y":"\"]"}]},"b":-0.5e+7}`, "/key", `{"key":"K","b":-0.5e+7}`},
		"deeper":                 {`{"auth":{"a":true,"key":"x"},"key":1}`, "/auth/key", `{"auth":{"a":true,"key":"K"},"key":1}`},
		"deeper, missing":        {`{"auth":{},"key":1}`, "/auth/key", `{"auth":{"key":"K"},"key":1}`},
		"deeper, all missing":    {`{"b":1}`, "/auth/x/key", `{"auth":{"x":{"key":"K"}},"b":1}`},
		"in an array":            {`{"a":[{"k":1} , {"k" : 2}]}`, "/a/1/k", `{"a":[{"k":1} , {"k" : "K"}]}`},
		"an element":             {`["x",[1,2],3]`, "/1", `["x","K",3]`},
		"a key with escapes":     {`{"k\u0065y":1,"a":2}`, "/key", `{"k\u0065y":"K","a":2}`},
		"a pointer with escapes": {`{"a/b":{"c~d":1}}`, "/a~1b/c~0d", `{"a/b":{"c~d":"K"}}`},
		"an odd name":            {`{}`, "/a\"\n", `{"a\"\u000a":"K"}`},
		"the empty name":         {`{"":1}`, "/", `{"":"K"}`},
		"twice elsewhere":        {`{"a":1,"a":2,"key":3}`, "/key", `{"a":1,"a":2,"key":"K"}`},
		"big numbers stay":       {`{"n":12345678901234567890.10,"key":0}`, "/key", `{"n":12345678901234567890.10,"key":"K"}`},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.body)
			got, err := credential.JSONField(body, c.pointer, "K")
			if err != nil || string(got) != c.want || string(body) != c.body {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	if got, err := credential.JSONField([]byte(`{"key":1}`), "/key", "q\"b\\s/\r\n\x00<é\u2028"); err != nil ||
		string(got) != `{"key":"q\"b\\s/\u000d\u000a\u0000<é`+"\u2028"+`"}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestJSONFieldRefuses(t *testing.T) {
	for name, c := range map[string]struct{ body, pointer string }{
		"not JSON":            {`canary{`, "/key"},
		"cut off":             {`{"canary":1`, "/key"},
		"more behind":         {`{"a":1}{"canary":2}`, "/key"},
		"a string":            {`"canary"`, "/key"},
		"null":                {`null`, "/key"},
		"twice":               {`{"key":"canary","key":2}`, "/key"},
		"twice, written so":   {`{"key":"canary","\u006bey":2}`, "/key"},
		"twice on the way":    {`{"a":{"key":1},"b":2,"a":{"key":"canary"}}`, "/a/key"},
		"no object":           {`{"a":"canary"}`, "/a/key"},
		"null on the way":     {`{"a":null,"canary":0}`, "/a/key"},
		"short array":         {`["canary"]`, "/1"},
		"empty array":         {`[]`, "/0"},
		"array, not a number": {`["canary"]`, "/x"},
		"array, leading zero": {`["canary","b"]`, "/01"},
		"array, the next":     {`["canary"]`, "/-"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := credential.JSONField([]byte(c.body), c.pointer, "K")
			f, ok := errors.AsType[*fault.Fault](err)
			if !ok || f.Code != fault.RequestMalformed || got != nil || strings.Contains(f.Error()+f.Hint, "canary") {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
	for _, pointer := range []string{"", "key", "key/x", strings.Repeat("/a", 100)} {
		if _, err := credential.JSONField([]byte("{}"), pointer, "K"); err == nil {
			t.Errorf("%q: no error", pointer)
		}
	}
}

// FuzzJSONField: what comes out is JSON that has the value where the pointer says and is otherwise what went in, and a
// body that has a field of one name is changed at that field alone.
func FuzzJSONField(f *testing.F) {
	for _, s := range []string{
		`{"a":1}`, `{"key":{"x":["}"]},"b":-0.5e+7}`, `{"auth":{"key":"x"}}`,
		` {"auth" : { } , "k\u0065y":[]} `, `["x"]`, `{"key":1,"key":2}`, `{"auth":[{"key":0}]}`, `{"auth":null}`, "",
	} {
		f.Add([]byte(s), "va\"lue\n")
	}
	f.Fuzz(func(t *testing.T, body []byte, value string) {
		value = strings.ToValidUTF8(value, "?")
		for _, pointer := range []string{"/key", "/auth/key", "/0", "/auth/0/key"} {
			got, err := credential.JSONField(body, pointer, value)
			if err != nil {
				continue
			}
			var before, after any
			if err := json.Unmarshal(got, &after); err != nil {
				t.Fatalf("%s in %q makes %q: %v", pointer, body, got, err)
			}
			if json.Unmarshal(body, &before) != nil {
				before = map[string]any{} // an empty body
			}
			if diff := cmp.Diff(set(before, strings.Split(pointer[1:], "/"), value), after); diff != "" {
				t.Fatalf("%s in %q makes %q:\n%s", pointer, body, got, diff)
			}
			// What was set once is set again in its place, without anything else moving.
			again, err := credential.JSONField(got, pointer, value)
			if err != nil || string(again) != string(got) {
				t.Fatalf("%s in %q makes %q, %v", pointer, got, again, err)
			}
		}
	})
}

// set is the change on the decoded value.
func set(v any, steps []string, value string) any {
	if len(steps) == 0 {
		return value
	}
	switch v := v.(type) {
	case nil:
		return map[string]any{steps[0]: set(nil, steps[1:], value)}
	case map[string]any:
		v[steps[0]] = set(v[steps[0]], steps[1:], value)
		return v
	case []any:
		v[0] = set(v[0], steps[1:], value) // the pointers name no other
		return v
	}
	return v
}

func TestFormField(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"no body":       {"", "k%5B%5D=a%26b"},
		"appended":      {"a=1&b=%zz", "a=1&b=%zz&k%5B%5D=a%26b"},
		"replaced":      {"a=1&k[]=x&b=+", "a=1&k%5B%5D=a%26b&b=+"},
		"once":          {"k%5b%5D=x&a&k[]&k[]=", "k%5B%5D=a%26b&a"},
		"others' names": {"k=1&k[]2=x", "k=1&k[]2=x&k%5B%5D=a%26b"},
		"empty pairs":   {"&&a=1", "&&a=1&k%5B%5D=a%26b"},
	} {
		body := []byte(c.body)
		if got := credential.FormField(body, "k[]", "a&b"); string(got) != c.want || string(body) != c.body {
			t.Errorf("%s: got %s", name, got)
		}
		if v, err := url.ParseQuery(strings.ReplaceAll(c.want, "%zz", "")); err != nil ||
			!cmp.Equal(v["k[]"], []string{"a&b"}) {
			t.Errorf("%s: read as %v, %v", name, v, err)
		}
	}
}

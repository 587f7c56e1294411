package jsonpointer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/jsonpointer"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]struct {
		steps jsonpointer.Pointer
		err   error
	}{
		"/a":                       {jsonpointer.Pointer{"a"}, nil},
		"/a~1b/m~0n/0":             {jsonpointer.Pointer{"a/b", "m~n", "0"}, nil},
		"/~01":                     {jsonpointer.Pointer{"~1"}, nil}, // RFC 6901 section 4: not the slash
		"//a":                      {jsonpointer.Pointer{"", "a"}, nil},
		"/k\"l/ ":                  {jsonpointer.Pointer{"k\"l", " "}, nil},
		"":                         {nil, jsonpointer.ErrSlash},
		"a":                        {nil, jsonpointer.ErrSlash},
		"/":                        {jsonpointer.Pointer{""}, nil},
		"/a/":                      {jsonpointer.Pointer{"a", ""}, nil},
		"/a~2":                     {nil, jsonpointer.ErrTilde},
		"/a~":                      {nil, jsonpointer.ErrTilde},
		strings.Repeat("/a", 31):   {nil, jsonpointer.ErrTooManySteps},
		strings.Repeat("/a", 1000): {nil, jsonpointer.ErrTooManySteps},
	} {
		steps, err := jsonpointer.Parse(text)
		if diff := cmp.Diff(want.steps, steps); diff != "" || !errors.Is(err, want.err) {
			t.Errorf("%.20q: %v, want %v%s", text, err, want.err, diff)
		}
	}
}

func TestIndex(t *testing.T) {
	for step, want := range map[string]int{
		"0": 0, "10": 10, "01": -1, "+1": -1, "-1": -1, "": -1, "-": -1, "1e1": -1,
		"99999999999999999999": -1,
	} {
		i, ok := jsonpointer.Index(step)
		if !ok {
			i = -1
		}
		if i != want {
			t.Errorf("%q: %d, want %d", step, i, want)
		}
	}
}

func ExamplePointer_In() {
	var doc any
	if err := json.Unmarshal([]byte(`{"data": {"keys": ["old", "new"]}, "a/b": true}`), &doc); err != nil {
		panic(err)
	}
	for _, text := range []string{"/data/keys/1", "/a~1b", "/data/keys/2", "/data/keys/01", "/data/keys/1/x"} {
		p, err := jsonpointer.Parse(text)
		if err != nil {
			panic(err)
		}
		fmt.Println(p.In(doc))
	}
	// Output:
	// new true
	// true true
	// <nil> false
	// <nil> false
	// <nil> false
}

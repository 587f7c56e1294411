package export_test

import (
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/export"
)

const canary = "sk-canary-0123456789"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct{ src, want string }{
		"list":          {`[{"id":"aB3","name":"OpenAI","type":"openAiApi","data":{"url":"https://x/?a=1&b=<2>","apiKey":"k"},"isManaged":false}]`, `aB3 OpenAI openAiApi {"apiKey":"k","url":"https://x/?a=1&b=<2>"}`},
		"one file each": {`{"id":"x","name":"N","type":"t","data":{"a":"b"}}`, `x N t {"a":"b"}`},
		"number id":     {`[{"id":7,"name":"N","type":"t","data":{"port":5432,"big":12345678901234567890}}]`, `7 N t {"big":12345678901234567890,"port":5432}`},
		"no data":       {`[{"id":"x","name":"N","type":"t","data":{}}]`, ``},
		"none":          {`[]`, ``},
		"byte order":    {"\xef\xbb\xbf[]\r\n", ``},
		"pretty":        {"[\n  {\n \"id\": \"x\", \"name\": \"N\", \"type\": \"t\", \"data\": {\n \"b\": \"\\u00e9\", \"a\": {\"c\": [1]} } } ]\n", `x N t {"a":{"c":[1]},"b":"é"}`},
	} {
		list, err := export.Parse([]byte(test.src))
		var got []string
		for _, c := range list {
			got = append(got, strings.Join([]string{c.ID, c.Name, c.Type, string(c.Data.Reveal())}, " "))
		}
		if err != nil || strings.Join(got, "|") != test.want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct{ src, want, hint string }{
		"encrypted": {`[{"id":"x","name":"N","type":"t","data":"U2FsdGVk` + canary + `"}]`, "encrypted", "--decrypted"},
		"workflows": {`[{"id":"x","name":"N","nodes":[]}]`, "no name or no type", ""},
		"null data": {`[{"name":"N","type":"t","data":null}]`, "no data", ""},
		"list data": {`[{"name":"N","type":"t","data":["` + canary + `"]}]`, "no data", ""},
		"text":      {canary, "not what n8n exports", "n8n export:credentials"},
		"cut":       {`[{"id":"x","name":"` + canary, "not what n8n exports", ""},
		"null":      {`[{"name":{"a":"` + canary + `"}}]`, "not what n8n exports", ""},
	} {
		_, err := export.Parse([]byte(test.src))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%s: got %v, hint %q", name, err, fault.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), canary) {
			t.Errorf("%s: the error shows the value", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"id":"a","name":"b","type":"c","data":{"d":"e"}}]`))
	f.Add([]byte(`{"name":"b","type":"c","data":{}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		list, err := export.Parse(src)
		if err != nil {
			return
		}
		for _, c := range list {
			if c.Name == "" || c.Type == "" || c.Data.IsZero() {
				t.Errorf("an incomplete credential %q %q", c.Name, c.Type)
			}
		}
	})
}

package preset

import (
	"bytes"
	"fmt"
	"strings"
)

//go:generate go test -count=1 -run ^TestReferenceIsInSync$ -update .

const referenceHead = `# Presets

<!-- Generated from internal/config/preset/data. Do not edit. -->

A preset is a service that ships with Sallyport: ` + "`preset: NAME`" + ` fills in the upstream, where the credential goes, and the call that
` + "`sallyport service test`" + ` makes. What the service itself says has precedence, key by key. Where the table names an example as
upstream, each customer has one of their own: write it as ` + "`upstream`" + `.

A preset's upstream is a host without a path, so a URL from the API's documentation is called with everything behind the host:
` + "`https://api.openai.com/v1/models`" + ` becomes ` + "`http://127.0.0.1:8470/s/openai/v1/models`" + `.

| preset | API | upstream | credential | test | n8n credential |
| --- | --- | --- | --- | --- | --- |
`

// Reference returns docs/presets.md.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	all := All()
	for _, p := range all {
		fmt.Fprintf(&b, "| `%s` | [%s](%s) | %s | %s | %s | %s |\n", p.Name, p.Title, p.Docs, p.upstreamCell(), p.credentialCell(), p.testCell(), codes(p.N8N))
	}
	b.WriteString("\n## Notes\n\n")
	for _, p := range all {
		if note := p.note(); note != "" {
			fmt.Fprintf(&b, "- `%s`: %s\n", p.Name, note)
		}
	}
	return b.Bytes()
}

func (p Preset) upstreamCell() string {
	if p.Upstream != "" {
		return "`" + p.Upstream + "`"
	}
	return "yours, such as `" + p.UpstreamEg + "`"
}

func (p Preset) credentialCell() string {
	c := p.Credential
	format := c.Format
	if format == "" {
		format = "{secret}"
	}
	switch c.Kind {
	case "bearer":
		return "bearer: `Authorization: Bearer {secret}`"
	case "header":
		return "header: `" + c.Header + ": " + format + "`"
	case "query":
		return "query: `?" + c.Param + "=" + format + "`"
	}
	user := c.Username
	if user == "" {
		user = "{username}"
	}
	return "basic: `" + user + ":{secret}`"
}

func (p Preset) testCell() string {
	if p.Test.Path == "" {
		return ""
	}
	method := p.Test.Method
	if method == "" {
		method = "GET"
	}
	return "`" + method + " " + p.Test.Path + "`"
}

func (p Preset) note() string {
	var parts []string
	if p.UsernameNeeds != "" {
		parts = append(parts, "`credential.username` is "+p.UsernameNeeds+".")
	}
	for name, value := range p.Headers { // no preset has more than one
		parts = append(parts, "`"+name+": "+value+"` is set unless the caller sends that header.")
	}
	if p.Notes != "" {
		parts = append(parts, p.Notes)
	}
	return strings.Join(parts, " ")
}

func codes(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "`" + strings.Join(list, "`, `") + "`"
}

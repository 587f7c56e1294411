package preset

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:generate go test -count=1 -run ^TestReferenceIsInSync$ -update .

const referenceHead = `# Presets

<!-- Generated from internal/config/preset. Do not edit. -->

A preset is a service that ships with Sallyport: ` + "`preset: NAME`" +
	` fills in the upstream, where the credential goes, how a token for it
is obtained and how its expiry shows, and the call that ` + "`sallyport service test`" +
	` makes. What the service itself says has precedence, key by
key. Where the table names an example as upstream, each customer has one of their own: write it as ` + "`upstream`" +
	`. What else a preset asks
for stands in its note: ` + "`credential: {inputs: {tenant: …}}`" +
	` and the like, what is secret by reference. [credentials.md](credentials.md) shows
how the secrets of each kind are given; ` + "`secret: ref+…`" + ` is enough where a secret goes on the wire as it is.

A preset's upstream is a host without a path, so a URL from the API's documentation is called with everything behind the host:
` + "`https://api.openai.com/v1/models`" + ` becomes ` + "`http://127.0.0.1:8470/s/openai/v1/models`" + `.

`

const presetsHead = `
## By preset

The name of an API leads to its own page on authentication, or to n8n's page on its credential type; the presets of the latter do
what n8n's definition says, and where that leaves it to the nodes (class none) what n8n's nodes do. {upstream} stands for the service's upstream, and other names in braces for inputs.

The last column says when someone last held the preset against the vendor's own page. "n8n's code" is weaker: only n8n's definition
and nodes were read. "nobody" means that nobody has checked the preset against the vendor: try it before you rely on it.

| preset | API | upstream | credential | test | n8n credential | checked against |
| --- | --- | --- | --- | --- | --- | --- |
`

const typesHead = `
## By n8n credential

| n8n credential | | preset, or why there is none |
| --- | --- | --- |
`

// Reference returns docs/presets.md. shown writes what a credential puts onto the wire, and where that comes from.
func Reference(shown func(Credential) string) ([]byte, error) {
	c, err := ReadCatalogue()
	if err != nil {
		return nil, err
	}
	all := All()
	var b bytes.Buffer
	b.WriteString(referenceHead)
	c.counts(&b, all)
	b.WriteString(presetsHead)
	pages := c.pages()
	for _, p := range all {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n",
			p.Name, p.link(pages), p.upstreamCell(), p.credentialCell(shown), p.testCell(),
			codes(p.N8N), p.Checked.cell())
	}
	b.WriteString("\n## Notes\n\n")
	for _, p := range all {
		if note := p.note(); note != "" {
			fmt.Fprintf(&b, "- `%s`: %s\n", p.Name, note)
		}
	}
	b.WriteString(typesHead)
	for _, v := range c.Verdicts {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Type.Name, v.Type.Class, v.cell())
	}
	return b.Bytes(), nil
}

// counts writes how many presets there are, and how many of n8n's types of each class have one.
func (c Catalogue) counts(b *bytes.Buffer, all []Preset) {
	var covered int
	total, have, reasons := map[string]int{}, map[string]int{}, map[string]int{}
	for _, v := range c.Verdicts {
		total[v.Type.Class]++
		if v.Preset == "" {
			reasons[v.Reason]++
			continue
		}
		have[v.Type.Class]++
		covered++
	}
	fmt.Fprintf(b, "There are %d presets. n8n %s has %d types of credential; %d of them have a preset:\n\n", len(all),
		c.N8N, len(c.Verdicts), covered)
	b.WriteString("| class | what it means | types | with a preset |\n| --- | --- | --- | --- |\n")
	for _, class := range Classes() {
		fmt.Fprintf(b, "| %s | %s | %d | %d |\n", class[0], class[1], total[class[0]], have[class[0]])
	}
	declared, both := c.declared()
	fmt.Fprintf(b,
		"\n%d types say declaratively where their credential goes, those with a login call among them; %d of these "+
			"have a preset.\n", declared, both)
	fmt.Fprintf(b, "The other %d types have none because:", len(c.Verdicts)-covered)
	for i, reason := range slices.Sorted(maps.Keys(reasons)) {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(b, " %s (%d)", reason, reasons[reason])
	}
	b.WriteString(".\n")
	countChecks(b, all)
}

// countChecks says how many presets someone has held against something.
func countChecks(b *bytes.Buffer, all []Preset) {
	var vendor, code int
	for _, p := range all {
		switch {
		case p.Checked.AgainstVendor():
			vendor++
		case p.Checked.Date != "":
			code++
		}
	}
	fmt.Fprintf(b,
		"\n%d presets were held against a page of the vendor, and %d against n8n's code alone. Nobody has checked "+
			"the other %d against\nthe vendor.\n",
		vendor, code, len(all)-vendor-code)
}

// declared counts the types whose definition is data, whether or not a login call comes first.
func (c Catalogue) declared() (types, covered int) {
	for _, v := range c.Verdicts {
		if v.Type.Declared {
			types++
			if v.Preset != "" {
				covered++
			}
		}
	}
	return types, covered
}

// pages returns n8n's page on each type.
func (c Catalogue) pages() map[string]string {
	pages := map[string]string{}
	for _, v := range c.Verdicts {
		pages[v.Type.Name] = v.Type.Page()
	}
	return pages
}

func (v Verdict) cell() string {
	if v.Preset != "" {
		return "`" + v.Preset + "`"
	}
	return v.Reason + ": " + cell(v.Say)
}

func (p Preset) link(pages map[string]string) string {
	page := p.Docs
	if page == "" && len(p.N8N) > 0 {
		page = pages[p.N8N[0]]
	}
	if page == "" {
		return p.Title
	}
	return "[" + p.Title + "](" + page + ")"
}

func (p Preset) upstreamCell() string {
	if p.Upstream != "" {
		return "`" + p.Upstream + "`"
	}
	return "yours, such as `" + p.UpstreamEg + "`"
}

func (p Preset) credentialCell(shown func(Credential) string) string {
	var parts []string
	for _, c := range p.Placements() {
		parts = append(parts, shown(c))
	}
	return strings.Join(parts, "; ")
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

func (c Checked) cell() string {
	switch {
	case c.Date == "":
		return "nobody"
	case c.Against == CheckedN8N:
		return c.Date + ": n8n's code"
	}
	return c.Date + ": [vendor](" + c.Against + ")"
}

func (p Preset) note() string {
	var parts []string
	if p.UsernameNeeds != "" {
		parts = append(parts, "`credential.username` is "+p.UsernameNeeds+".")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Needs)) {
		parts = append(parts, "`"+p.keyOf(name)+"` is "+p.Needs[name]+".")
	}
	if len(p.Credentials) > 0 {
		is := make([]string, len(p.Credentials))
		for i := range is {
			is[i] = p.Credentials[i].Is
		}
		parts = append(parts, "`credentials` are, in this order: "+strings.Join(is, ", ")+".")
	}
	for _, name := range slices.Sorted(maps.Keys(p.HeadersNeeds)) {
		parts = append(parts, "Give `headers: {"+name+": …}`, "+p.HeadersNeeds[name]+".")
	}
	for name, value := range p.Headers { // no preset has more than one
		rule := "is set unless the caller sends that header"
		if slices.Contains(p.Overrides, name) {
			rule = "replaces what the caller sends"
		}
		parts = append(parts, "`"+name+": "+value+"` "+rule+".")
	}
	parts = append(parts, p.Credential.grantNotes()...)
	if expiry := p.Credential.expiry(); expiry != "" {
		parts = append(parts, expiry)
	}
	if p.Notes != "" {
		parts = append(parts, p.Notes)
	}
	if p.Deviates != "" {
		parts = append(parts, "Unlike n8n: "+p.Deviates+".")
	}
	if p.Verified != "" {
		parts = append(parts, "Held against [its documentation]("+p.Verified+").")
	}
	return strings.Join(parts, " ")
}

// keyOf is the key of a service that a need is given by: an input where its name stands in braces somewhere, else a key
// of the credential's own.
func (p Preset) keyOf(need string) string {
	for _, c := range p.Placements() {
		if mentions(c.Keys, "{"+need+"}") {
			return "credential.inputs." + need
		}
	}
	return "credential." + need
}

// mentions tells whether a text stands in a value, or in a value within it.
func mentions(value any, text string) bool {
	switch x := value.(type) {
	case string:
		return strings.Contains(x, text)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(x)), func(v any) bool { return mentions(v, text) })
	case []any:
		return slices.ContainsFunc(x, func(v any) bool { return mentions(v, text) })
	}
	return false
}

// grantNotes says what is out of the ordinary in how a token is obtained.
func (c Credential) grantNotes() (parts []string) {
	if c.Text("refresh_url") != "" {
		parts = append(parts, "Refresh tokens go to `"+c.Text("refresh_url")+"`.")
	}
	if c.Text("pkce") == "off" {
		parts = append(parts, "`pkce` is off.")
	}
	if c.Text("token") != "" && c.Keys["request"] == nil {
		parts = append(parts, "The token is at `"+c.Text("token")+"` of the token endpoint's response.")
	}
	return parts
}

// expiry says how a token's end shows, where that is more than a status of 401.
func (c Credential) expiry() string {
	when, ok := c.Keys["expired_when"].(map[string]any)
	if !ok {
		return ""
	}
	var parts []string
	for _, status := range texts(when["status"]) {
		parts = append(parts, "status "+status)
	}
	if b, ok := when["body"].(map[string]any); ok {
		parts = append(parts, fmt.Sprintf("`%v` %s in the body", b["pointer"], strings.Join(texts(b["in"]), " or ")))
	}
	return "Expired: " + strings.Join(parts, ", ") + "."
}

// texts are the entries of a list.
func texts(list any) (out []string) {
	entries, _ := list.([]any)
	for _, entry := range entries {
		out = append(out, fmt.Sprint(entry))
	}
	return out
}

// cell keeps a sentence from ending a cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func codes(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "`" + strings.Join(list, "`, `") + "`"
}

package preset

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// facts.jsonl is what n8n's own definitions say, written by tools/catalogue/facts.mjs; uncovered.tsv is ours.
var (
	//go:embed catalogue/facts.jsonl
	factsSource []byte
	//go:embed catalogue/uncovered.tsv
	uncoveredSource string
)

// Type is what n8n says of one of its credential types. A field of the credential stands in formats and URLs as its
// name in braces.
type Type struct {
	Name     string      `json:"type"`
	Title    string      `json:"title"`
	Docs     string      `json:"docs"`     // a path of n8n's documentation, or a URL
	Class    string      `json:"class"`    // one of Classes
	Declared bool        `json:"declared"` // its places are data and not code, also where a login call comes first
	Fields   []string    `json:"fields"`   // what a person fills in; those that end in * are secret
	Login    *TypeLogin  `json:"login"`
	Places   []TypePlace `json:"places"` // where the credential goes; empty where a node sees to that
	OAuth2   *TypeGrant  `json:"oauth2"`
	Base     string      `json:"base"`  // where the API is
	Usual    string      `json:"usual"` // what n8n suggests for Base where that is the user's
	Test     string      `json:"test"`  // method and path, or URL
	// TestQuery is the query that the test call has beside its URL.
	TestQuery map[string]string `json:"test_query"`
}

// TypePlace is one header, query parameter, body field or pair of Basic authentication.
type TypePlace struct {
	In     string `json:"in"` // header, query, body or basic
	Name   string `json:"name"`
	Format string `json:"format"`
}

// TypeLogin is a call that comes first. By is "code" where it is not a plain call.
type TypeLogin struct {
	By     string   `json:"by"`
	Method string   `json:"method"`
	URL    string   `json:"url"`
	Fields []string `json:"fields"` // of the body, sorted
	Basic  string   `json:"basic"`
	Token  string   `json:"token"` // JSON pointer
}

// TypeGrant is how a token of OAuth 2.0 is obtained.
type TypeGrant struct {
	Grant          string `json:"grant"`
	Authorize      string `json:"authorize"`
	Token          string `json:"token"`
	UsualAuthorize string `json:"usual_authorize"`
	UsualToken     string `json:"usual_token"`
	Scope          string `json:"scope"`
	Auth           string `json:"auth"` // basic or post
	Params         string `json:"params"`

	// What n8n keeps with its HTTP Request node and not with the type.
	Header  string `json:"header"`  // where the token goes; "": bearer
	Expired []int  `json:"expired"` // the statuses, instead of 401, that say that the token has expired
	Answer  string `json:"answer"`  // where the response has the token, as a JSON pointer; "": /access_token
}

// Classes are what Type.Class can be, with what each means, in the order of the reference.
func Classes() [][2]string {
	return [][2]string{
		{"declarative", "the definition says where the credential goes"},
		{"function", "the definition has code that puts the credential into the request"},
		{"login", "a call that returns a token comes first"},
		{"oauth2", "OAuth 2.0"},
		{"oauth1", "OAuth 1.0a"},
		{"none", "left to the nodes that use it"},
	}
}

// Verdict is what Sallyport has for a credential type: a preset, or the reason why there is none.
type Verdict struct {
	Type   Type
	Preset string
	Reason string // such as "not HTTP"
	Say    string // the reason, for a person
}

// Catalogue is every credential type of one version of n8n.
type Catalogue struct {
	N8N      string    // the version
	Verdicts []Verdict // sorted by type
}

// ReadCatalogue returns the catalogue. Its error can only mean that what is embedded contradicts itself: a type without
// a verdict or with two, or a verdict about a type that n8n does not have.
func ReadCatalogue() (Catalogue, error) { return catalogue() }

var catalogue = sync.OnceValues(func() (Catalogue, error) {
	version, types, err := readTypes(factsSource)
	if err != nil {
		return Catalogue{}, err
	}
	verdicts := map[string]Verdict{}
	give := func(name string, v Verdict) error {
		if _, twice := verdicts[name]; twice {
			return fmt.Errorf("reading the catalogue: type %q has two verdicts", name)
		}
		verdicts[name] = v
		return nil
	}
	for _, p := range All() {
		for _, name := range p.N8N {
			if err := give(name, Verdict{Preset: p.Name}); err != nil {
				return Catalogue{}, err
			}
		}
	}
	for line := range strings.Lines(uncoveredSource) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 3 {
			return Catalogue{}, fmt.Errorf("reading the catalogue: %q is not type, reason, sentence", line)
		}
		if err := give(cells[0], Verdict{Reason: cells[1], Say: cells[2]}); err != nil {
			return Catalogue{}, err
		}
	}
	return join(version, types, verdicts)
})

func join(version string, types []Type, verdicts map[string]Verdict) (Catalogue, error) {
	c := Catalogue{N8N: version}
	for _, t := range types {
		v, ok := verdicts[t.Name]
		if !ok {
			return Catalogue{}, fmt.Errorf("reading the catalogue: type %q has no verdict", t.Name)
		}
		delete(verdicts, t.Name)
		v.Type = t
		c.Verdicts = append(c.Verdicts, v)
	}
	for name := range verdicts {
		return Catalogue{}, fmt.Errorf("reading the catalogue: n8n %s has no type %q", version, name)
	}
	slices.SortFunc(c.Verdicts, func(a, b Verdict) int { return strings.Compare(a.Type.Name, b.Type.Name) })
	return c, nil
}

// readTypes reads a first line with the version, and a line for each type.
func readTypes(src []byte) (version string, types []Type, err error) {
	head, rest, _ := bytes.Cut(src, []byte("\n"))
	var first struct {
		N8N   string `json:"n8n"`
		Types int    `json:"types"`
	}
	if err := json.Unmarshal(head, &first); err != nil {
		return "", nil, fmt.Errorf("reading the catalogue's first line: %w", err)
	}
	for line := range bytes.Lines(rest) {
		var t Type
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&t); err != nil {
			return "", nil, fmt.Errorf("reading the catalogue's line %s: %w", line, err)
		}
		types = append(types, t)
	}
	if len(types) != first.Types {
		return "", nil, fmt.Errorf("reading the catalogue: %d types, and the first line says %d",
			len(types), first.Types)
	}
	return first.N8N, types, nil
}

// Page returns the page of n8n's documentation about the type, or "".
func (t Type) Page() string {
	switch {
	case t.Docs == "" || strings.HasPrefix(t.Docs, "https://"):
		return t.Docs
	}
	return "https://docs.n8n.io/integrations/builtin/credentials/" + t.Docs + "/"
}

package httpdriver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"sallyport/internal/driver"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/nesting"
)

// Definition is an API of keys as data: which calls do the steps, and what their answers mean.
type Definition struct {
	About      string               `yaml:"about"`      // one sentence
	Docs       []string             `yaml:"docs"`       // the vendor's pages that it was written from
	Checked    string               `yaml:"checked"`    // when it was held against them in full; "": not yet
	Against    string               `yaml:"against"`    // what it was held against then, in words
	Upstream   string               `yaml:"upstream"`   // what the service's upstream is, as an example
	Parameters map[string]Parameter `yaml:"parameters"` // what an operator sets

	// MaxKeys and Late are as in driver.Capabilities.
	MaxKeys int           `yaml:"max_keys"`
	Late    time.Duration `yaml:"late"`
	// Label says that keys have a label, which the list shows. Without it a key whose answer was lost is not found
	// again.
	Label *Label `yaml:"label"`
	// Pattern: the provider takes values that Sallyport makes up, by set, in the place of the old one.
	Pattern *Pattern `yaml:"pattern"`

	Headers map[string]string `yaml:"headers"` // of every call
	Answers string            `yaml:"answers"` // json, or xml; "" is json
	Message []string          `yaml:"message"` // pointers to what an error says in words

	Limit   []Condition `yaml:"limit"`   // the provider has as many keys as it allows
	Refused []Condition `yaml:"refused"` // it did nothing, whatever the status looks like
	Unclear []Condition `yaml:"unclear"` // nobody knows, whatever the status looks like

	Create Calls `yaml:"create"`
	Set    Calls `yaml:"set"`
	Undo   Calls `yaml:"undo"` // absent: set, with the current value
	Test   Calls `yaml:"test"` // absent: the key has to be in the list
	Delete Calls `yaml:"delete"`
	List   *List `yaml:"list"`
	// Settle is how long a key that was deleted may stay in the list.
	Settle time.Duration `yaml:"settle"`

	message []jsonpointer.Pointer
	headers map[string]template
}

// Label says what labels the provider takes.
type Label struct {
	Most int `yaml:"most"` // characters; 0 is no limit known
}

// Pattern is what a value looks like that Sallyport makes up.
type Pattern struct {
	Length   int    `yaml:"length"`
	Alphabet string `yaml:"alphabet"`
	Template string `yaml:"template"`
}

// Call is one call of the API.
type Call struct {
	Call    string            `yaml:"call"` // method and path
	Query   map[string]string `yaml:"query"`
	Headers map[string]string `yaml:"headers"`
	JSON    any               `yaml:"json"`
	Form    map[string]string `yaml:"form"`
	Parts   map[string]string `yaml:"parts"`  // a form as multipart/form-data
	Status  []int             `yaml:"status"` // of success; absent: 200 to 299
	Gone    []Condition       `yaml:"gone"`   // of delete: the key is not there; absent: 404 and 410
	Key     *KeyAt            `yaml:"key"`    // of create: the new key
	Value   *ValueAt          `yaml:"value"`  // of create: its value
	Until   *Until            `yaml:"until"`  // of test: the call is repeated until this holds

	method  string
	path    template
	query   map[string]template
	headers map[string]template
	form    map[string]template
	parts   map[string]template
	json    any // a tree with templates in the place of texts
}

// Calls are one call, or several that are made one after the other.
type Calls []*Call

// KeyAt says where a key's fields are, as JSON pointers.
type KeyAt struct {
	ID      string `yaml:"id"`
	IDAfter string `yaml:"id_after"` // the id is what stands after the last of these
	Label   string `yaml:"label"`
	Created string `yaml:"created"`
	Expires string `yaml:"expires"`

	id, label, created, expires jsonpointer.Pointer
}

// ValueAt says where a key's value is.
type ValueAt struct {
	At     string            `yaml:"at"`
	Decode string            `yaml:"decode"` // base64
	Fields map[string]string `yaml:"fields"` // the value is an object of these

	at     jsonpointer.Pointer
	fields map[string]jsonpointer.Pointer
}

// Condition is what an answer is compared with. Each part that is set has to hold.
type Condition struct {
	Status   int    `yaml:"status"`
	At       string `yaml:"at"`       // a pointer
	Is       string `yaml:"is"`       // what stands there, as text
	Contains string `yaml:"contains"` // a part of it, in letters of either case
	Not      bool   `yaml:"not"`      // the other way round; with at alone: nothing stands there

	at jsonpointer.Pointer
}

// Until says what a repeated call waits for.
type Until struct {
	All  []Condition   `yaml:"all"`
	Wait time.Duration `yaml:"wait"`
}

// List is the call that lists keys, and how to go on to further pages.
type List struct {
	Call  `yaml:",inline"`
	Items string      `yaml:"items"` // a pointer to the list; absent: the answer is the list
	Maybe bool        `yaml:"maybe"` // an answer that is an object without the list has no keys
	Where []Condition `yaml:"where"` // of each item: others are no keys
	Next  *Next       `yaml:"next"`

	items jsonpointer.Pointer
}

// Next says how the next page is asked for: by one of cursor, header, link, url, page and offset.
type Next struct {
	Query  string `yaml:"query"`  // the parameter of the call that it goes into
	Cursor string `yaml:"cursor"` // a pointer to what goes there; the last page has none
	Header string `yaml:"header"` // the same, in a header of the answer
	Link   bool   `yaml:"link"`   // the header Link, with rel="next": its query
	URL    string `yaml:"url"`    // a pointer to the next page's URL: its query
	Page   bool   `yaml:"page"`   // query counts pages
	First  int    `yaml:"first"`  // from here
	Offset bool   `yaml:"offset"` // query counts keys
	While  string `yaml:"while"`  // a pointer: there is a next page only if it is true
	Last   string `yaml:"last"`   // with page, a pointer to the last page's number

	cursor, url, while, last jsonpointer.Pointer
}

// maxDefinition bounds a definition, in bytes.
const maxDefinition = 64 << 10

// Parse reads a definition and checks it.
func Parse(text []byte) (*Definition, error) {
	if len(text) > maxDefinition {
		return nil, fmt.Errorf("reading a definition: it has more than %d bytes", maxDefinition)
	}
	if err := nesting.Check(text); err != nil {
		return nil, fmt.Errorf("reading a definition: %w", err)
	}
	if err := noAliases(text); err != nil {
		return nil, fmt.Errorf("reading a definition: %w", err)
	}
	d := new(Definition)
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(d); err != nil {
		return nil, fmt.Errorf("reading a definition: %w", err)
	}
	if err := d.compile(); err != nil {
		return nil, fmt.Errorf("reading a definition: %w", err)
	}
	return d, nil
}

// noAliases refuses what could make a small text a large one.
func noAliases(text []byte) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return err
	}
	if len(file.Docs) != 1 {
		return errors.New("it is not one document")
	}
	found := new(aliases)
	if body := file.Docs[0].Body; body != nil {
		ast.Walk(found, body)
	}
	if found.any {
		return errors.New("it has anchors or aliases, which a definition does not need")
	}
	return nil
}

type aliases struct{ any bool }

// Visit implements ast.Visitor.
func (a *aliases) Visit(n ast.Node) ast.Visitor {
	switch n.Type() {
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType:
		a.any = true
	default:
	}
	return a
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler: a single call need not be a list.
func (c *Calls) UnmarshalYAML(decode func(any) error) error {
	var one Call
	err := decode(&one)
	if err == nil {
		*c = Calls{&one}
		return nil
	}
	var several []*Call
	if decode(&several) != nil {
		return err
	}
	*c = several
	return nil
}

var headerForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,60}$`)

// capabilities are what the definition says of the provider.
func (d *Definition) capabilities() driver.Capabilities {
	return driver.Capabilities{
		Lists: d.List != nil && d.Label != nil, Deletes: len(d.Delete) > 0, MaxKeys: d.MaxKeys, Late: d.Late,
	}
}

func (p *Pattern) pattern() driver.Pattern {
	return driver.Pattern{
		Length: cmp.Or(p.Length, driver.DefaultLength), Alphabet: p.Alphabet, Template: p.Template,
	}
}

package httpdriver

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/nesting"
)

// Definition is an API of keys as data: which calls do the steps, and what their answers mean.
type Definition struct {
	About      string               `yaml:"about"`      // one sentence
	Docs       []string             `yaml:"docs"`       // the vendor's pages that it was written from
	Checked    string               `yaml:"checked"`    // when it was held against them in full; "": not yet
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

// compile checks the definition and takes its pointers and templates apart.
func (d *Definition) compile() (err error) {
	for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
		if err := d.Parameters[name].check(name); err != nil {
			return err
		}
	}
	if !slices.Contains([]string{"", "json", "xml"}, d.Answers) {
		return fmt.Errorf("answers is neither json nor xml")
	}
	if err := d.wholeness(); err != nil {
		return err
	}
	if d.headers, err = d.compileTexts("headers", d.Headers, nil); err != nil {
		return err
	}
	for _, text := range d.Message {
		p, err := jsonpointer.Parse(text)
		if err != nil {
			return fmt.Errorf("message %w", err)
		}
		d.message = append(d.message, p)
	}
	for name, list := range map[string][]Condition{"limit": d.Limit, "refused": d.Refused, "unclear": d.Unclear} {
		if err := compileConditions(name, list); err != nil {
			return err
		}
	}
	return d.compileSteps()
}

// wholeness checks that the steps are there that go together.
func (d *Definition) wholeness() error {
	minted := len(d.Create) > 0
	switch {
	case minted == (len(d.Set) > 0):
		return errors.New("it has create or set: create mints keys, set has the provider take a value")
	case minted && len(d.Delete) == 0:
		return errors.New("it has create and no delete: what create made could not be taken back")
	case minted && (d.Pattern != nil || len(d.Undo) > 0):
		return errors.New("pattern and undo go with set")
	case !minted && (d.Pattern == nil || len(d.Delete) > 0 || d.List != nil || d.Label != nil):
		return errors.New("it has set, which goes with pattern, and without delete, list and label")
	case d.Label != nil && d.List == nil:
		return errors.New("it has label and no list, which would show it")
	case !minted && d.MaxKeys != 1:
		return errors.New("with set max_keys is 1: the new value takes the place of the old one")
	case minted && d.MaxKeys == 1:
		return errors.New("max_keys is 1, and create needs room for two")
	case d.MaxKeys < 0 || d.Late < 0 || d.Settle < 0 || d.Late > time.Hour || d.Settle > time.Minute:
		return errors.New("max_keys, late or settle is out of bounds")
	case d.Label != nil && d.Label.Most != 0 && d.Label.Most < 32:
		return errors.New("label.most is less than a label needs")
	}
	return nil
}

func (d *Definition) compileSteps() error {
	secrets := []string{"value", "current"}
	for _, step := range []struct {
		name  string
		calls Calls
		knows []string // beside parameters, label, rotation and run
	}{
		{"create", d.Create, []string{"old_key"}},
		{"set", d.Set, secrets},
		{"undo", d.Undo, secrets},
		{"test", d.Test, []string{"key"}},
		{"delete", d.Delete, []string{"key"}},
	} {
		for i, c := range step.calls {
			if c == nil {
				return fmt.Errorf("%s has an empty call", step.name)
			}
			if err := d.compileCall(step.name, c, step.knows); err != nil {
				return err
			}
			if (c.Key != nil || c.Value != nil) && (step.name != "create" || i > 0) {
				return fmt.Errorf("%s: key and value are of the first call of create", step.name)
			}
		}
	}
	if len(d.Create) > 0 && (d.Create[0].Key == nil || d.Create[0].Value == nil || d.Create[0].Key.ID == "") {
		return errors.New("create: its first call needs key.id and value")
	}
	if d.List == nil {
		return nil
	}
	return d.compileList()
}

func (d *Definition) compileList() (err error) {
	l := d.List
	if err := d.compileCall("list", &l.Call, nil); err != nil {
		return err
	}
	if l.method != http.MethodGet && l.method != http.MethodPost {
		return errors.New("list: its method is neither GET nor POST")
	}
	if l.Key == nil || l.Key.ID == "" || l.Value != nil || d.Label != nil && l.Key.Label == "" {
		return errors.New("list: it needs key.id, with label key.label, and has no value")
	}
	if l.items, err = pointer("list.items", l.Items); err != nil {
		return err
	}
	if err := compileConditions("list.where", l.Where); err != nil {
		return err
	}
	if l.Next == nil {
		return nil
	}
	return l.Next.compile()
}

func (n *Next) compile() (err error) {
	ways := 0
	for _, there := range []bool{n.Cursor != "", n.Header != "", n.Link, n.URL != "", n.Page, n.Offset} {
		if there {
			ways++
		}
	}
	if ways != 1 || (n.Query == "") != (n.Link || n.URL != "") {
		return errors.New("list.next: it has one of cursor, header, page and offset with query, or link or url without")
	}
	if n.cursor, err = pointer("list.next.cursor", n.Cursor); err != nil {
		return err
	}
	if n.url, err = pointer("list.next.url", n.URL); err != nil {
		return err
	}
	if n.last, err = pointer("list.next.last", n.Last); err != nil {
		return err
	}
	n.while, err = pointer("list.next.while", n.While)
	return err
}

// pointer is nil for "".
func pointer(name, text string) (jsonpointer.Pointer, error) {
	if text == "" {
		return nil, nil
	}
	p, err := jsonpointer.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return p, nil
}

func compileConditions(name string, list []Condition) (err error) {
	for i := range list {
		c := &list[i]
		if c.Status == 0 && c.At == "" {
			return fmt.Errorf("%s: a condition without status and at holds for everything", name)
		}
		if c.At == "" && (c.Is != "" || c.Contains != "" || c.Not) || c.Is != "" && c.Contains != "" {
			return fmt.Errorf("%s: a condition has is or contains, and at with them", name)
		}
		if c.at, err = pointer(name, c.At); err != nil {
			return err
		}
	}
	return nil
}

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// compileCall checks a call that knows the names beside those of every call.
func (d *Definition) compileCall(step string, c *Call, knows []string) (err error) {
	method, path, _ := strings.Cut(c.Call, " ")
	if !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "?# ") {
		return fault.WithHint(fmt.Errorf("%s: call is not a method and a path", step), `write call: "GET /v1/keys"`)
	}
	c.method = method
	// What stands in a path or a query is on record everywhere.
	open := slices.DeleteFunc(slices.Clone(knows), func(s string) bool { return s == "value" || s == "current" })
	if c.path, err = d.compileText(step+": call", path, open); err != nil {
		return err
	}
	if c.query, err = d.compileTexts(step+": query", c.Query, open); err != nil {
		return err
	}
	if c.headers, err = d.compileTexts(step+": headers", c.Headers, open); err != nil {
		return err
	}
	if c.form, err = d.compileTexts(step+": form", c.Form, knows); err != nil {
		return err
	}
	if c.parts, err = d.compileTexts(step+": parts", c.Parts, knows); err != nil {
		return err
	}
	bodies := 0
	for _, there := range []bool{c.JSON != nil, c.Form != nil, c.Parts != nil} {
		if there {
			bodies++
		}
	}
	if bodies > 1 || bodies > 0 && method == http.MethodGet {
		return fmt.Errorf("%s: a call has one of json, form and parts, and GET has none", step)
	}
	if c.json, err = d.compileJSON(step+": json", c.JSON, knows); err != nil {
		return err
	}
	for _, status := range c.Status {
		if status < 200 || status > 499 {
			return fmt.Errorf("%s: status %d is not that of a success", step, status)
		}
	}
	return d.compileAnswer(step, c)
}

func (d *Definition) compileAnswer(step string, c *Call) error {
	if len(c.Gone) > 0 && step != "delete" || c.Until != nil && step != "test" {
		return fmt.Errorf("%s: gone goes with delete, until with test", step)
	}
	if err := compileConditions(step+": gone", c.Gone); err != nil {
		return err
	}
	if c.Until != nil {
		if len(c.Until.All) == 0 || c.Until.Wait < time.Second || c.Until.Wait > time.Minute {
			return fmt.Errorf("%s: until needs all, and a wait of 1s to 1m", step)
		}
		if err := compileConditions(step+": until", c.Until.All); err != nil {
			return err
		}
	}
	if c.Key != nil {
		if err := c.Key.compile(step); err != nil {
			return err
		}
	}
	if c.Value != nil {
		return c.Value.compile(step)
	}
	return nil
}

func (k *KeyAt) compile(step string) (err error) {
	for _, one := range []struct {
		name, text string
		to         *jsonpointer.Pointer
	}{
		{"id", k.ID, &k.id},
		{"label", k.Label, &k.label},
		{"created", k.Created, &k.created},
		{"expires", k.Expires, &k.expires},
	} {
		if *one.to, err = pointer(step+": key."+one.name, one.text); err != nil {
			return err
		}
	}
	return nil
}

func (v *ValueAt) compile(step string) (err error) {
	if (v.At == "") == (len(v.Fields) == 0) || v.Decode != "" && (v.Decode != "base64" || v.At == "") {
		return fmt.Errorf("%s: value has at, or fields; decode: base64 goes with at", step)
	}
	if v.at, err = pointer(step+": value.at", v.At); err != nil {
		return err
	}
	v.fields = make(map[string]jsonpointer.Pointer)
	for name, text := range v.Fields {
		if v.fields[name], err = jsonpointer.Parse(text); err != nil {
			return fmt.Errorf("%s: value.fields %w", step, err)
		}
	}
	return nil
}

// everywhere are the names that each call knows.
var everywhere = []string{"label", "rotation", "run"}

func (d *Definition) compileText(name, text string, knows []string) (template, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	for _, p := range t.names() {
		parameter, known := d.Parameters[p.name]
		switch {
		case !known && !slices.Contains(everywhere, p.name) && !slices.Contains(knows, p.name):
			return nil, fmt.Errorf("%s: {%s} stands for nothing here", name, p.name)
		case (p.format != "") != (known && parameter.Kind == kindDuration):
			return nil, fmt.Errorf("%s: a format goes with a duration, and a duration has one", name)
		}
	}
	return t, nil
}

func (d *Definition) compileTexts(name string, texts map[string]string, knows []string) (map[string]template, error) {
	all := make(map[string]template, len(texts))
	for key, text := range texts {
		if strings.HasSuffix(name, "headers") && (!headerForm.MatchString(key) || !slices.Contains(takenHeaders, key)) {
			return nil, fault.WithHint(fmt.Errorf("%s: %q is not a header that a definition may set", name, key),
				"one of "+strings.Join(takenHeaders, ", ")+"; a credential is the service's")
		}
		t, err := d.compileText(name+"."+key, text, knows)
		if err != nil {
			return nil, err
		}
		all[key] = t
	}
	return all, nil
}

// takenHeaders are those that APIs of keys ask for and that are no credential.
var takenHeaders = []string{"Accept", "Content-Type", "X-Pinecone-Api-Version", "On-Behalf-Of"}

func (d *Definition) compileJSON(name string, tree any, knows []string) (any, error) {
	switch v := tree.(type) {
	case string:
		return d.compileText(name, v, knows)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			var err error
			if out[key], err = d.compileJSON(name+"."+key, inner, knows); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			var err error
			if out[i], err = d.compileJSON(name+"."+strconv.Itoa(i), inner, knows); err != nil {
				return nil, err
			}
		}
		return out, nil
	case nil, bool, int64, uint64, float64:
		return v, nil
	}
	return nil, fmt.Errorf("%s has a value that is nothing in JSON", name)
}

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

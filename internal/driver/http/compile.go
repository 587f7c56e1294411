package httpdriver

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
)

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

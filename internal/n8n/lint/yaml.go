package lint

import (
	"encoding/base64"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"sallyport/internal/n8n/environment"
	"sallyport/internal/nesting"
)

// The forms of lines.
const (
	mapped = "NAME: VALUE"
	listed = "- name: NAME\n  value: VALUE" // as Kubernetes lists them
)

// maxMerged is how many pairs are looked at by way of merges: a chain of n of them has n²/2.
const maxMerged = 100_000

// maxVisits is how many nodes are looked at for containers: lists of aliases to lists multiply them.
const maxVisits = 500_000

// reader walks a file of YAML or JSON.
type reader struct {
	anchors map[string]ast.Node
	list    []setting
	scopes  int
	visits  int    // nodes that were looked at for containers
	steps   int    // pairs that were looked at by way of merges
	mapped  string // the form of lines in mappings
	encoded bool   // values are in base64: a Secret's data
	sealed  bool   // the document holds what only a controller can read
	values  bool   // the document may be the values of a chart
	holds   bool   // the document holds files as texts: a ConfigMap or a Secret

	processes []node
	files     []embedded
}

// fromYAML reads a file with its documents; false when it is no YAML, as long as its templates are not filled in.
func fromYAML(content []byte) (*reader, bool) {
	if nesting.Check(content) != nil {
		return nil, false
	}
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, false
	}
	r := &reader{anchors: make(map[string]ast.Node)}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		ast.Walk(r, doc.Body)
		kind := fieldOf(doc.Body, "kind")
		r.sealed = strings.HasPrefix(kind, "Sealed")
		r.mapped = mapped
		if kind == "Secret" {
			r.mapped = ""
		}
		r.values = kind == "" && r.members(doc.Body)["services"] == nil || kind == "HelmRelease" ||
			kind == "HelmChart" || kind == "Application"
		r.holds = kind == "Secret" || kind == "ConfigMap"
		r.read(doc.Body, kind == "Secret")
		r.processes = append(r.processes, r.nodes(doc.Body)...)
	}
	return r, r.steps <= maxMerged
}

// Visit implements ast.Visitor: it collects what aliases stand for.
func (r *reader) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil && a.Value != nil {
		r.anchors[a.Name.String()] = a.Value
	}
	return r
}

// read looks at a node and all below it. Aliases are looked at where they are merged into a mapping, and not followed
// else: what they stand for is read in its own place.
func (r *reader) read(n ast.Node, secretDocument bool) {
	if r.sealed {
		return
	}
	switch n := bare(n).(type) {
	case *ast.MappingNode:
		r.readMapping(n.Values, secretDocument)
	case *ast.MappingValueNode:
		r.readMapping([]*ast.MappingValueNode{n}, secretDocument)
	case *ast.SequenceNode:
		r.readSequence(n)
		for _, one := range n.Values {
			r.read(one, false)
		}
	}
}

func (r *reader) readMapping(pairs []*ast.MappingValueNode, secretDocument bool) {
	r.scopes++
	r.readPairs(pairs, r.scopes, make(map[string]bool))
	for _, pair := range pairs {
		key := keyOf(pair)
		r.encoded = secretDocument && key == "data"
		r.read(pair.Value, false)
		r.encoded = false
		r.embed(key, pair.Value)
	}
}

// readPairs reads the variables of a mapping, and of those merged into it. seen keeps anchors from being merged twice,
// or into themselves.
func (r *reader) readPairs(pairs []*ast.MappingValueNode, scope int, seen map[string]bool) {
	for _, pair := range pairs {
		if len(seen) > 0 {
			r.steps++
		}
		if r.steps > maxMerged {
			return
		}
		switch key := keyOf(pair); key {
		case environment.KeyName, environment.KeyFileName:
			r.add(key, pair.Value, line(pair), r.mapped, scope)
		case "<<":
			r.merge(pair.Value, scope, seen)
		case "encryptionKey", "encryption_key", "n8nEncryptionKey", "N8N_ENCRYPTIONKEY":
			r.addValue(key, pair)
		}
	}
}

// inValues is what a chart's values call the master key: community-charts encryptionKey; 8gears
// main.secret.n8n.encryption_key (which becomes the variable of that name); others have one of these too. What to write
// instead is how that chart takes a Secret.
var inValues = map[string]string{
	"encryptionKey": "existingEncryptionKeySecret: n8n-encryption-key-v1",
	"encryption_key": "extraEnv: {N8N_ENCRYPTION_KEY: {valueFrom: {secretKeyRef: {name: n8n-encryption-key-v1, key: " +
		"N8N_ENCRYPTION_KEY}}}}   # of main, and of worker and webhook, which do not get main's",
}

// addParameter takes in a key among the parameters of Argo CD's application, which are values by their whole name:
// {name: a.b, value: …}.
func (r *reader) addParameter(name string, entry ast.Node) {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if value, at := find(entry, "value"); r.values && inValues[last] != "" && value != nil {
		if text := r.text(value); text != "" {
			r.list = append(r.list, setting{
				line: at, name: environment.KeyName, called: last, value: text,
				form: inValues[last], scope: -1,
			})
		}
	}
}

// addValue takes in a key among the values of a chart. An empty one has the chart make a key, or take one from
// elsewhere.
func (r *reader) addValue(key string, pair *ast.MappingValueNode) {
	if text := r.text(pair.Value); r.values && text != "" {
		r.list = append(r.list, setting{
			line: line(pair), name: environment.KeyName, called: key, value: text,
			form: inValues[key], scope: -1,
		})
	}
}

func (r *reader) merge(n ast.Node, scope int, seen map[string]bool) {
	if r.steps++; r.steps > maxMerged {
		return
	}
	switch n := n.(type) {
	case *ast.SequenceNode:
		for _, one := range n.Values {
			r.merge(one, scope, seen)
		}
	case *ast.AliasNode:
		name := n.Value.String()
		if seen[name] {
			return
		}
		seen[name] = true
		switch m := bare(r.anchors[name]).(type) {
		case *ast.MappingNode:
			r.readPairs(m.Values, scope, seen)
		case *ast.MappingValueNode:
			r.readPairs([]*ast.MappingValueNode{m}, scope, seen)
		}
	}
}

// readSequence reads lists of variables: NAME=VALUE as Compose has them, name and value as Kubernetes has them.
func (r *reader) readSequence(n *ast.SequenceNode) {
	r.scopes++
	scope := r.scopes
	for _, one := range n.Values {
		if text, ok := textOf(bare(one)); ok {
			name, value, set := strings.Cut(text, "=")
			if name == environment.KeyName || name == environment.KeyFileName {
				r.list = append(r.list, setting{
					line: line(one), name: name, value: value, open: !set,
					form: "- NAME=VALUE", scope: scope,
				})
			}
			continue
		}
		name := fieldOf(one, "name")
		r.addParameter(name, one)
		if name != environment.KeyName && name != environment.KeyFileName {
			continue
		}
		value, at := find(one, "value")
		if value == nil {
			value, at = nil, line(one)
		}
		r.add(name, value, at, listed, scope)
	}
}

func (r *reader) add(name string, value ast.Node, at int, form string, scope int) {
	s := setting{line: at, name: name, form: form, scope: scope}
	text, ok := textOf(bare(r.resolved(value)))
	if inner := r.members(value)["value"]; !ok && inner != nil { // charts have maps of variables: NAME: {value: …}
		text, ok = textOf(bare(r.resolved(inner)))
	}
	if ok && r.encoded {
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		ok, text = err == nil, string(decoded)
	}
	s.value, s.open = text, !ok
	r.list = append(r.list, s)
}

// resolved is what an alias stands for.
func (r *reader) resolved(n ast.Node) ast.Node {
	if alias, ok := n.(*ast.AliasNode); ok {
		return r.anchors[alias.Value.String()]
	}
	return n
}

// bare is a node without its anchor.
func bare(n ast.Node) ast.Node {
	if a, ok := n.(*ast.AnchorNode); ok {
		return a.Value
	}
	return n
}

// textOf is a scalar's text. What has a tag of its own (!vault) or is null comes from elsewhere.
func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value == nil {
			return "", false
		}
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func keyOf(pair *ast.MappingValueNode) string {
	if pair.Key == nil {
		return ""
	}
	if _, merges := pair.Key.(*ast.MergeKeyNode); merges {
		return "<<"
	}
	text, _ := textOf(pair.Key)
	return text
}

// fieldOf is the text of a mapping's member, or "".
func fieldOf(n ast.Node, name string) string {
	value, _ := find(n, name)
	text, _ := textOf(bare(value))
	return text
}

// find is a mapping's member, and its line.
func find(n ast.Node, name string) (ast.Node, int) {
	var pairs []*ast.MappingValueNode
	switch n := bare(n).(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	}
	for _, pair := range pairs {
		if keyOf(pair) == name {
			return pair.Value, line(pair)
		}
	}
	return nil, 0
}

func line(n ast.Node) int {
	if pair, ok := n.(*ast.MappingValueNode); ok && pair.Key != nil {
		n = pair.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

package lint

import (
	"strings"

	"github.com/goccy/go-yaml/ast"

	"sallyport/internal/n8n/environment"
)

// chart reads the values of 8gears' and of community-charts' chart. What stands there under extraEnv (extraEnvVars) of
// main reaches the main process alone; what main.secret, main.config and the chart as a whole have reaches the others
// as well.
func (r *reader) chart(m map[string]ast.Node) []node {
	main := r.members(m["main"])
	if !r.values || main == nil {
		return nil
	}
	own, all := r.section("main", environment.Main, m["main"]), node{}
	for _, name := range []string{"extraEnv", "extraEnvVars"} {
		r.variables(&all, m[name])
	}
	for _, name := range []string{
		"encryptionKey", "existingEncryptionKeySecret", "extraEnvFrom",
		"extraSecretNamesForEnvFrom", "secretRefs",
	} {
		all.hasKey = all.hasKey || m[name] != nil && r.text(m[name]) != "" || len(r.members(m[name])) > 0 ||
			len(r.items(m[name])) > 0
	}
	if !own.hasKey || own.opaque || all.hasKey || r.inherited(main) {
		return nil
	}
	list := []node{own}
	for _, role := range []environment.Role{environment.Worker, environment.Webhook} {
		name := string(role)
		if other := r.members(m[name]); r.text(other["enabled"]) == "true" || r.text(other["mode"]) == "queue" {
			list = append(list, r.section(name, role, m[name]))
		}
	}
	return list
}

// section is the process that a part of the values is for.
func (r *reader) section(name string, role environment.Role, n ast.Node) node {
	m := r.members(n)
	s := node{
		name: name, line: r.lineOf(n), role: role,
		opaque: m["extraEnvFrom"] != nil || m["extraSecretNamesForEnvFrom"] != nil,
	}
	r.variables(&s, m["extraEnv"])
	r.variables(&s, m["extraEnvVars"])
	s.hasKey = s.hasKey || role != environment.Main && r.inherited(m)
	s.give = "extraEnv of main reaches the main process alone: write the same lines under extraEnv of worker and of " +
		"webhook, " +
		"or name the Secret where the chart has it for all"
	return s
}

// inherited tells whether the key is among the variables that 8gears' chart makes of secret and config.
func (r *reader) inherited(section map[string]ast.Node) bool {
	for _, name := range []string{"secret", "config"} {
		m := r.members(section[name])
		for key := range m {
			if strings.EqualFold(key, environment.KeyName) || strings.EqualFold(key, "n8n_encryption_key") {
				return true
			}
		}
		if r.members(m["n8n"])["encryption_key"] != nil {
			return true
		}
	}
	return false
}

// embedded is a file that stands in another one as a text.
type embedded struct {
	name string
	line int // the text's first
	text string
}

// embed takes in the text of a member that is a file of its own: the values of a chart as Argo CD (helm.values) and K3s
// (valuesContent) take them, and the files of a ConfigMap or Secret. Only of a text that stands line by line is it
// known where a line of it is.
func (r *reader) embed(key string, value ast.Node) {
	literal, ok := bare(value).(*ast.LiteralNode)
	if !ok || literal.Value == nil || literal.Start == nil || !strings.HasPrefix(literal.Start.Value, "|") {
		return
	}
	name := key
	switch {
	case r.values && (key == "values" || key == "valuesContent"):
		name = "values.yaml"
	case r.holds &&
		(strings.HasSuffix(key, ".env") || strings.HasSuffix(key, ".yaml") || strings.HasSuffix(key, ".yml")):
	default:
		return
	}
	r.files = append(r.files, embedded{name: name, line: literal.Start.Position.Line + 1, text: literal.Value.Value})
}

// checkEmbedded looks at such files; what stands as a text in one of them is looked at no more.
func checkEmbedded(files []embedded) (list []Finding, checked int) {
	for _, file := range files {
		found, n := check(file.name, []byte(file.text), false)
		for i := range found {
			found[i].Line += file.line - 1
		}
		list, checked = append(list, found...), checked+n
	}
	return list, checked
}

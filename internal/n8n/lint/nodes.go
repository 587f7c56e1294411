package lint

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"sallyport/internal/n8n/environment"
)

// More mistakes: of a process of n8n as a whole, which a Compose file or a manifest describes to the end.
const (
	MistakeKeyless   = "keyless"   // a worker or webhook process that is not given the key
	MistakeUnmounted = "unmounted" // a file is named that nothing puts there
)

// node is one process of n8n, as a file describes it.
type node struct {
	name   string // as the file calls it
	line   int
	role   environment.Role
	hasKey bool
	file   string // the value of N8N_ENCRYPTION_KEY_FILE, where it is written out
	fileAt int
	opaque bool     // it has variables from elsewhere: env_file, envFrom, extends
	mounts []string // where something is put
	shares bool     // it has a folder for n8n's settings file, which it may share with others
	built  bool     // its image is made here, and may hold anything
	give   string   // how it is given the key, where the file has a way of its own
	put    string   // and how something is put where it is named
}

// nodes finds the processes of n8n in a document.
func (r *reader) nodes(doc ast.Node) (list []node) {
	top := r.members(doc)
	services := r.members(top["services"])
	if top["include"] == nil {
		for _, name := range sorted(services) {
			list = append(list, r.service(name, services[name])...)
		}
	}
	return append(list, r.containers(doc, 0)...)
}

// service reads a service of Compose, if it is n8n and is here as a whole: an override names no image.
func (r *reader) service(name string, n ast.Node) []node {
	m := r.members(n)
	command := append(r.words(m["entrypoint"]), r.words(m["command"])...)
	if !isN8N(r.text(m["image"]), m["build"] != nil, command) {
		return nil
	}
	s := node{
		name: name, line: r.lineOf(n), role: roleIn(command), opaque: m["env_file"] != nil || m["extends"] != nil,
		built: m["build"] != nil,
	}
	r.variables(&s, m["environment"])
	for _, one := range r.items(m["secrets"]) {
		target := r.text(one)
		if long := r.members(one); len(long) > 0 {
			target = r.text(long["source"])
			if t := r.text(long["target"]); t != "" {
				target = t
			}
		}
		s.mounts = append(s.mounts, under("/run/secrets", target))
	}
	for _, one := range r.items(m["configs"]) {
		target := "/" + r.text(one)
		if long := r.members(one); len(long) > 0 {
			target = r.text(long["target"])
		}
		s.mounts = append(s.mounts, target)
	}
	for _, one := range append(r.items(m["volumes"]), r.items(m["tmpfs"])...) {
		target := r.text(one)
		if parts := strings.Split(target, ":"); len(parts) > 1 {
			target = parts[1]
		}
		if long := r.members(one); len(long) > 0 {
			target = r.text(long["target"])
		}
		s.mounts = append(s.mounts, target)
	}
	s.shares = slices.ContainsFunc(s.mounts, isSettings)
	return []node{s}
}

// containers reads the containers of manifests, at any depth.
func (r *reader) containers(n ast.Node, depth int) (list []node) {
	if r.visits++; r.visits > maxVisits {
		r.steps = maxMerged + 1 // which says that not all was looked at
	}
	if depth > 30 || r.steps > maxMerged {
		return nil
	}
	m := r.members(n)
	list = append(list, r.chart(m)...)
	for _, one := range r.items(m["containers"]) {
		c := r.members(one)
		command := append(r.words(c["command"]), r.words(c["args"])...)
		if !isN8N(r.text(c["image"]), false, command) {
			continue
		}
		s := node{name: r.text(c["name"]), line: r.lineOf(one), role: roleIn(command), opaque: c["envFrom"] != nil}
		r.variables(&s, c["env"])
		for _, mount := range r.items(c["volumeMounts"]) {
			s.mounts = append(s.mounts, r.text(r.members(mount)["mountPath"]))
		}
		s.shares = slices.ContainsFunc(s.mounts, isSettings)
		list = append(list, s)
	}
	for _, name := range sorted(m) {
		if name != "containers" {
			list = append(list, r.containers(m[name], depth+1)...)
		}
	}
	for _, one := range r.items(n) {
		list = append(list, r.containers(one, depth+1)...)
	}
	return list
}

// variables reads the environment of a process: a mapping, NAME=VALUE entries, or entries with name and value.
func (r *reader) variables(s *node, n ast.Node) {
	take := func(name, text string, at int) {
		switch name {
		case environment.KeyName:
			s.hasKey = true
		case environment.KeyFileName:
			s.hasKey, s.file, s.fileAt = true, text, at
		}
	}
	for name, value := range r.members(n) {
		take(name, r.text(value), r.lineOf(value))
	}
	for _, one := range r.items(n) {
		if m := r.members(one); len(m) > 0 {
			take(r.text(m["name"]), r.text(m["value"]), r.lineOf(one))
			continue
		}
		name, value, _ := strings.Cut(r.text(one), "=")
		take(name, value, r.lineOf(one))
	}
}

// judgeNodes finds what is wrong with processes as a whole.
func judgeNodes(nodes []node) (list []Finding) {
	queue := slices.ContainsFunc(nodes, func(n node) bool { return n.role == environment.Worker })
	shared := sharing(nodes) > 1
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.hasKey, n.opaque, n.shares && n.role != environment.Worker && !queue:
		case n.role == environment.Main && !queue:
		case n.shares && shared:
		default:
			list = append(list, Finding{
				Line: n.line, Variable: environment.KeyName, Mistake: MistakeKeyless, Problem: keyless(n),
				Fix: "",
				First: cmp.Or(n.give,
					"give every node of a fleet the same key, in the way that this file gives it to the others, or "+
						"that `sallyport key install` shows"),
			})
		}
		if n.file != "" && n.unmounted() {
			list = append(list, Finding{
				Line: n.fileAt, Variable: environment.KeyFileName, Mistake: MistakeUnmounted,
				Problem: "names a file that nothing puts into " + quoted(n.name) +
					": n8n does not start, or starts without the key",
				First: cmp.Or(n.put, wherePuts),
			})
		}
	}
	return list
}

func sharing(nodes []node) (n int) {
	for i := range nodes {
		if nodes[i].shares {
			n++
		}
	}
	return n
}

func keyless(n *node) string {
	switch n.role {
	case environment.Worker:
		return "is not given to " + quoted(n.name) + ", a worker: it does not start, or cannot read the credentials"
	case environment.Webhook:
		return "is not given to " + quoted(n.name) + ", a webhook process: it makes a key of its own, with which it " +
			"can read no credential"
	case environment.Main:
	}
	return "is not given to " + quoted(n.name) + ", beside workers: it makes a key of its own, which they do not have"
}

// unmounted tells whether nothing is put where the file is to be.
func (n *node) unmounted() bool {
	file := environment.Normalize(n.file)
	if !path.IsAbs(file) || strings.ContainsAny(file, "$%{") || n.opaque || n.built &&
		!strings.HasPrefix(file, "/run/secrets/") {
		return false
	}
	return !slices.ContainsFunc(n.mounts, func(at string) bool {
		at = path.Clean(at)
		return strings.ContainsAny(at, "${") || at == file || at == "/" || strings.HasPrefix(file, at+"/")
	})
}

var plainName = regexp.MustCompile(`^[\w.-]{1,64}$`)

// quoted is a name for people.
func quoted(name string) string {
	if !plainName.MatchString(name) {
		return "the process"
	}
	return `"` + name + `"`
}

func under(folder, target string) string {
	if path.IsAbs(target) {
		return target
	}
	return folder + "/" + target
}

func isSettings(at string) bool {
	at = path.Clean(at)
	return strings.HasSuffix(at, "/.n8n") || at == "/home/node" || at == "/root"
}

// isN8N tells n8n from what stands beside it, its task runners among them.
func isN8N(image string, built bool, command []string) bool {
	image, _, _ = strings.Cut(image, "@")
	base := path.Base(image)
	if i := strings.IndexByte(base, ':'); i >= 0 {
		base = base[:i]
	}
	if strings.Contains(image, "runner") {
		return false
	}
	return strings.Contains(base, "n8n") || (image == "" && built || image != "") &&
		slices.ContainsFunc(command, func(w string) bool {
			return path.Base(w) == "n8n"
		})
}

func roleIn(command []string) environment.Role {
	for _, role := range []environment.Role{environment.Worker, environment.Webhook} {
		if slices.Contains(command, string(role)) {
			return role
		}
	}
	return environment.Main
}

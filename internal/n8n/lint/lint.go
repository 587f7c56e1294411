// Package lint finds mistakes with n8n's master key in the files that start n8n: Compose and stack files, manifests of
// Kubernetes, files of variables, systemd units, jobs of Nomad, Dockerfiles and scripts.
//
// It reads what stands in one file, and what stands in that as a text: the values of a chart, the files of a ConfigMap.
// It does not fill in variables, follow includes, or look at what runs; a line that it has no reason to call a mistake
// may still be one.
//
// Invariant: a finding quotes no key. The name of a file that stands where the key belongs is quoted, if it is one by
// its looks.
package lint

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/n8n/environment"
)

// Finding is a mistake in one line.
type Finding struct {
	Line     int    `json:"line"` // from 1
	Variable string `json:"variable"`
	Mistake  string `json:"mistake"` // path, example, clear, both, template, empty, not_a_path, keyless, unmounted
	Problem  string `json:"problem"` // what it is, and what n8n does with it
	Fix      string `json:"fix"`     // the lines to write instead; "" when there are none
	First    string `json:"first"`   // what to think of before; ""
}

// The mistakes.
const (
	MistakePath     = "path"       // the name of a file where the key belongs
	MistakeExample  = "example"    // a key that everybody knows
	MistakeClear    = "clear"      // a key in clear
	MistakeBoth     = "both"       // both variables, of which n8n reads one
	MistakeTemplate = "template"   // a variable or template that nothing fills in
	MistakeEmpty    = "empty"      // set, and empty
	MistakeNoPath   = "not_a_path" // a key where the name of a file belongs
)

// kind is what a file is for.
type kind int

const (
	compose kind = iota
	kubernetes
	variables // NAME=VALUE lines, Dockerfiles, scripts
	systemd
	nomad
)

// setting is one of the two variables as a file sets it.
type setting struct {
	line  int
	name  string
	value string
	open  bool   // the value comes from elsewhere: a reference, or the environment of who starts it
	form  string // how such a line is written, with NAME and VALUE in it; "" where there is no right line
	scope int    // settings of one process have the same

	called string // what the file calls it, where that is not the variable
}

// Check returns the mistakes in a file, by line. The name tells what the file is for, if the content does not. checked
// is how many places it has looked at: processes of n8n, and settings of the key; with 0 it has found nothing of its
// kind to check.
func Check(name string, content []byte) (list []Finding, checked int) {
	return check(name, content, true)
}

// check is Check; deep: files that stand in this one as texts are looked at, too.
func check(name string, content []byte, deep bool) (list []Finding, checked int) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	k := kindOf(name, content)
	var settings []setting
	var nodes []node
	r, ok := (*reader)(nil), false
	if k == compose || k == kubernetes {
		r, ok = fromYAML(content)
	}
	if ok {
		settings, nodes = r.list, r.processes
	} else {
		settings, nodes = fromLines(k, content), fromUnits(k, content)
	}
	trusting := bytes.Contains(content, []byte("sallyport"))
	for _, s := range settings {
		if f, bad := judge(k, s, trusting); bad {
			if s.called != "" {
				f.Variable, f.Fix = s.called, s.form
			}
			list = append(list, f)
		}
	}
	list = append(list, both(settings)...)
	list = append(list, judgeNodes(nodes)...)
	checked = len(settings) + len(nodes)
	if ok && deep {
		found, n := checkEmbedded(r.files)
		list, checked = append(list, found...), checked+n
	}
	slices.SortStableFunc(list, func(a, b Finding) int { return a.Line - b.Line })
	return slices.Compact(list), checked
}

var (
	unit     = regexp.MustCompile(`(?m)^\[(Unit|Service)\]`)
	job      = regexp.MustCompile(`(?m)^\s*(job|task|group)\s+"`)
	manifest = regexp.MustCompile(`(?m)^"?apiVersion"?:|^\s*"apiVersion":`)
	yaml     = regexp.MustCompile(`(?m)^(services|x-[\w-]+|version):`)
)

func kindOf(name string, content []byte) kind {
	extension := strings.ToLower(filepath.Ext(name))
	isYAML := extension == ".yml" || extension == ".yaml" || extension == ".json"
	switch {
	case isYAML && manifest.Match(content):
		return kubernetes
	case isYAML:
		return compose
	case extension == ".service" || unit.Match(content):
		return systemd
	case extension == ".hcl" || extension == ".nomad" || job.Match(content):
		return nomad
	case manifest.Match(content):
		return kubernetes
	case yaml.Match(content):
		return compose
	}
	return variables
}

var (
	// fromElsewhere begins what another program puts a value in the place of.
	fromElsewhere = regexp.MustCompile(`^(ref\+|op://|arn:aws|vault:|ENC\[|AQICA|secretref:|keyvault:)`)
	// filledIn is a variable that Compose, a shell or Kubernetes fills in, with what stands there otherwise.
	filledIn = regexp.MustCompile(`^\$\{\w+(:?[-=])?([^}]*)\}$|^\$\w+$|^\$\(\w+\)$`)
	// asKey is what looks like a key, and like no path.
	asKey = regexp.MustCompile(`^[A-Za-z0-9+_-][A-Za-z0-9+/_-]{19,}={0,2}$`)
	// harmless is the name of a file that no key looks like.
	harmless = regexp.MustCompile(`^/(run|var|etc|mnt|opt|secrets?|vault|home|files|data)/[A-Za-z0-9._/-]{1,80}$`)
)

// judge looks at one setting. trusting: the file starts n8n through sallyport, which reads references to files too.
func judge(k kind, s setting, trusting bool) (Finding, bool) {
	value := environment.Normalize(s.value)
	if m := filledIn.FindStringSubmatch(value); m != nil && !s.open && k != systemd {
		if s.open = m[2] == "" || m[1] == "" || m[1] == "?"; !s.open {
			value = m[2]
		}
	}
	switch {
	case s.open, fromElsewhere.MatchString(value), strings.Contains(value, "{{"), trusting &&
		strings.HasPrefix(value, "file:"):
		return Finding{}, false
	case s.name == environment.KeyFileName:
		return judgeFile(k, s, value)
	}
	f := Finding{Line: s.line, Variable: s.name}
	switch problem, hint := environment.KeyProblem(value, func(string) bool { return false }); {
	case value == "":
		f.Mistake, f.Problem = MistakeEmpty, "is empty: n8n takes the key of its settings file or makes one of its "+
			"own, and does not look at "+environment.KeyFileName
		f.Fix = s.right(k)
	case environment.IsPath(value, nil):
		f.Mistake, f.Problem = MistakePath, problem
		f.Fix = s.write(environment.KeyFileName, shown(value))
		f.First = "an n8n that has run like this has encrypted with that text: correct the line only together with " +
			"`sallyport key rekey`, or its credentials are lost to it"
	case filledIn.MatchString(value):
		f.Mistake, f.Problem = MistakeTemplate, "is a variable that nothing fills in here: n8n would encrypt with "+
			"its name"
		f.Fix = s.right(k)
	case problem != "":
		f.Mistake, f.Problem, f.First = MistakeExample, problem, hint
		f.Fix = s.right(k)
	default:
		f.Mistake, f.Problem = MistakeClear, "stands here in clear: whoever reads this file, its backups or its "+
			"history has it"
		f.Fix = s.right(k)
		f.First = "keep the same key: put it where the new line reads it with `sallyport key install --target " +
			k.target() + "`; if others could read this file, change the key with `sallyport key rekey`"
	}
	return f, true
}

func judgeFile(k kind, s setting, value string) (Finding, bool) {
	f := Finding{Line: s.line, Variable: s.name, Fix: s.right(k)}
	switch {
	case value == "":
		f.Mistake, f.Problem = MistakeEmpty, "names no file: n8n takes the key of its settings file or makes one of "+
			"its own"
	case k == systemd && strings.Contains(value, "$"):
		f.Mistake, f.Problem = MistakeTemplate, "has a variable in it, which systemd does not fill in here: n8n "+
			"looks for a file of that name"
	case asKey.MatchString(value) && !environment.IsPath(value, nil):
		f.Mistake, f.Problem = MistakeNoPath, "holds what looks like a key, and should name the file that holds it: "+
			"n8n does not start"
	default:
		return Finding{}, false
	}
	return f, true
}

// both finds processes that are given both variables.
func both(settings []setting) (list []Finding) {
	files := make(map[int]setting)
	for _, s := range settings {
		if s.name == environment.KeyFileName {
			files[s.scope] = s
		}
	}
	for _, s := range settings {
		file, ok := files[s.scope]
		if s.name != environment.KeyName || !ok {
			continue
		}
		list = append(list, Finding{
			Line: s.line, Variable: s.name, Mistake: MistakeBoth,
			Problem: "is set beside " + environment.KeyFileName +
				": n8n reads this one, even if it is empty, and never looks at the file",
			Fix:   file.write(file.name, shownOr(file.value)),
			First: "find out with `sallyport key verify` which of the two the database needs",
		})
	}
	return list
}

// write is a line in the manner of this one.
func (s setting) write(name, value string) string {
	return strings.NewReplacer("NAME", name, "VALUE", value).Replace(s.form)
}

// right is what to write instead where the key is installed as `sallyport key install` tells.
func (s setting) right(k kind) string {
	if s.form == listed && k == kubernetes {
		return "- name: N8N_ENCRYPTION_KEY\n  valueFrom: {secretKeyRef: {name: n8n-encryption-key-v1, key: " +
			"N8N_ENCRYPTION_KEY}}"
	}
	return s.write(environment.KeyFileName, k.path())
}

// shown is the name of a file for people, unless it could be a key.
func shown(path string) string {
	if harmless.MatchString(path) {
		return path
	}
	return "<the name that stands there>"
}

func shownOr(path string) string {
	if path = environment.Normalize(path); strings.ContainsAny(path, "/%$") && !asKey.MatchString(path) {
		return path
	}
	return shown(path)
}

// path is where the key is as a file, as `sallyport key install` tells.
func (k kind) path() string {
	return [...]string{
		compose: "/run/secrets/n8n_encryption_key", kubernetes: "/run/secrets/n8n/N8N_ENCRYPTION_KEY",
		variables: "/run/secrets/n8n_encryption_key",
		systemd:   "%d/n8n_encryption_key_v1", nomad: "${NOMAD_SECRETS_DIR}/n8n_encryption_key",
	}[k]
}

// target is what `sallyport key install` calls it.
func (k kind) target() string {
	return [...]string{
		compose: "compose", kubernetes: "kubernetes", variables: "compose",
		systemd: "systemd", nomad: "nomad",
	}[k]
}

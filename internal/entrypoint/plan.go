package entrypoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// Files says which NAME_FILE variables are read, so that the program gets NAME.
type Files struct {
	None  bool     // none at all
	Names []string // beside those that n8n knows: the NAMEs
}

// plan is the environment with what has to be done about it.
type plan struct {
	entries []string // NAME=VALUE; "" is left out
	wants   []want
	files   []file
	strict  bool
	guard   *keyCheck // nil: the program is not n8n
}

// want is a variable whose value is a reference.
type want struct {
	index int
	name  string
	ref   secret.Ref
}

// file is a variable NAME_FILE that becomes NAME.
type file struct {
	index      int
	name, path string
}

const fileSuffix = "_FILE"

// read makes the plan. All variables that are wrong by themselves are reported together, before any store is asked.
func (r *runner) read() (*plan, error) {
	p := &plan{entries: slices.Clone(r.Environ), strict: r.Strict}
	var failures VariableErrors
	for i, entry := range r.Environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			continue
		}
		if err := r.variable(p, i, name, value); err != nil {
			failures = append(failures, &VariableError{Name: name, Err: err})
		}
	}
	failures = append(failures, r.arguments()...)
	if role, ok := environment.Command(r.Argv, lookup(r.Environ)); ok || r.N8N || namesKey(r.Environ) {
		p.guard = &keyCheck{role: role}
	}
	r.withhold(p)
	return p, failures.orNil()
}

// namesKey tells whether the environment has n8n's master key. Its name is enough: n8n may be started by a shell, npx,
// timeout, or a script that no list has.
func namesKey(environ []string) bool {
	return slices.ContainsFunc(environ, func(entry string) bool {
		name, _, ok := strings.Cut(entry, "=")
		return ok && (name == environment.KeyName || name == environment.KeyFileName)
	})
}

// variable finds out what is to be done about one variable.
func (r *runner) variable(p *plan, index int, name, value string) error {
	if !r.inScope(name) {
		return r.outOfScope(name, value)
	}
	base, isFile := strings.CutSuffix(name, fileSuffix)
	if isFile && r.readsFile(base) && value != "" {
		return r.file(p, file{index, base, value})
	}
	if strings.HasSuffix(name, "_ARN") && strings.HasPrefix(value, "arn:") {
		return nil // the program means to fetch it by itself
	}
	ref, ok, err := secret.ParseAny(value)
	switch {
	case err != nil:
		return fault.WithHint(err, "correct the reference; `--only` names the variables that are to be looked at")
	case ok:
		p.wants = append(p.wants, want{index, name, ref})
		return nil
	}
	return r.suspect(name, value)
}

// file takes in a NAME_FILE variable, unless NAME is there too: n8n then looks at NAME alone, be it empty.
func (r *runner) file(p *plan, f file) error {
	if _, ok, _ := secret.ParseAny(f.path); ok && !strings.HasPrefix(f.path, "file:") {
		return fault.WithHint(errors.New("holds a reference, where the name of a file belongs"),
			"write "+f.name+"=<the reference>")
	}
	if _, ok := lookup(r.Environ)(f.name); ok {
		r.Note("warning: %s and %s are both set: %s counts, as in n8n, and the file is not read", f.name,
			f.name+fileSuffix, f.name)
		return nil
	}
	f.path = strings.TrimPrefix(f.path, "file://")
	p.files = append(p.files, f)
	return nil
}

func (r *runner) readsFile(base string) bool {
	return !r.Files.None && (environment.Knows(base) || slices.Contains(r.Files.Names, base))
}

func (r *runner) inScope(name string) bool {
	return strings.HasPrefix(name, r.Prefix) && (len(r.Only) == 0 || slices.Contains(r.Only, name))
}

// outOfScope tells of a reference that stays as it is.
func (r *runner) outOfScope(name, value string) error {
	if _, ok, _ := secret.ParseAny(value); !ok {
		return nil
	}
	return r.doubt(name, "holds a reference that is not resolved: it is not among --only and --prefix")
}

// suspect looks at an ordinary value for what someone may have meant otherwise.
func (r *runner) suspect(name, value string) error {
	trimmed := strings.TrimSpace(value)
	_, isRef, _ := secret.ParseAny(trimmed)
	switch {
	case isRef:
		return r.doubt(name, "holds a reference with blanks around it, which is none")
	case mentions(value):
		return r.doubt(name, "has a reference inside other text; only a whole value is resolved")
	case r.Strict && environment.IsPlaceholder(value):
		return fault.WithHint(errors.New("was left as the template has it"), "fill it in, or write a reference")
	}
	return nil
}

// mentions tells whether ref+<store>:// stands somewhere in a value.
func mentions(value string) bool {
	for rest := value; ; {
		_, after, ok := strings.Cut(rest, "ref+")
		if !ok {
			return false
		}
		if store, _, ok := strings.Cut(after, "://"); ok {
			if _, err := secret.ParseRef("ref+" + store + "://x"); err == nil {
				return true
			}
		}
		rest = after
	}
}

// doubt is a warning, and with --strict an error.
func (r *runner) doubt(name, what string) error {
	if r.Strict {
		return fault.WithHint(errors.New(what), "write the reference as the whole value, or leave out --strict")
	}
	r.Note("warning: %s %s", name, what)
	return nil
}

// arguments are never resolved: every process of the machine can read them.
func (r *runner) arguments() (failures VariableErrors) {
	for i, arg := range r.Argv {
		if _, ok, err := secret.ParseAny(arg); !ok && err == nil && !mentions(arg) {
			continue
		}
		name := fmt.Sprintf("argument %d", i)
		if err := r.doubt(name,
			"holds a reference; arguments are not resolved, since every process can read them"); err != nil {
			failures = append(failures, &VariableError{Name: name, Err: err})
		}
	}
	return failures
}

// lookup returns the first variable of a name, as getenv does.
func lookup(environ []string) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		for _, entry := range environ {
			if n, value, ok := strings.Cut(entry, "="); ok && n == name {
				return value, true
			}
		}
		return "", false
	}
}

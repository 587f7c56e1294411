package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/app"
	"sallyport/internal/cli/envfile"
	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/n8n/export"
	"sallyport/internal/secret"
)

// importItem is one secret of a source.
type importItem struct {
	name string // in the target, without prefix
	from string // for a person: ".env:3 DB_PASSWORD"
	load func(ctx context.Context) (secret.Value, error)
}

// importList is what a source has.
type importList struct {
	list      []importItem
	left      []string // what is not taken, and why
	partial   bool     // --only left something out
	deletable func(importReport) []string
}

func have(v secret.Value) func(context.Context) (secret.Value, error) {
	return func(context.Context) (secret.Value, error) { return v, nil }
}

func (e *env) importSource(ctx context.Context, s *app.State, o importOptions,
	source string,
) (found importList, err error) {
	switch o.from {
	case "env-file":
		found, err = e.fromEnvFile(o, source)
	case "n8n":
		found, err = e.fromN8N(o, source)
	case "store":
		found, err = fromStore(ctx, s, o, source)
	default:
		return found, misnamed("--from", o.from, "env-file", "n8n", "store")
	}
	if err != nil {
		return found, fmt.Errorf("reading what to import: %w", err)
	}
	if len(found.list) == 0 {
		return found, fault.WithHint(fmt.Errorf("there is no secret to import in %s", source),
			strings.Join(found.left, "; "))
	}
	return found, nil
}

// readSource reads a file, or standard input for "-".
func (e *env) readSource(name string, limit int64) ([]byte, error) {
	in := e.In
	if name != "-" {
		f, err := localfile.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // read only
		in = f
	}
	src, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return src, nil
}

// secretName tells names of variables whose values are secrets.
var secretName = regexp.MustCompile(
	`(?i)(^|_)(pass|password|passwd|passphrase|pwd|secret|secrets|token|key|apikey|credential|credentials|dsn)(_|$)`)

func (e *env) fromEnvFile(o importOptions, source string) (found importList, err error) {
	src, err := e.readSource(source, envfile.MaxSize)
	if err != nil {
		return found, err
	}
	variables, err := envfile.Parse(src)
	if err != nil {
		return found, fmt.Errorf("reading %s: %w", source, err)
	}
	inForce := make(map[string]int)
	for i, v := range variables {
		inForce[v.Name] = i
	}
	for i, v := range variables {
		from := fmt.Sprintf("%s:%d %s", source, v.First, v.Name)
		if len(o.only) > 0 && !slices.Contains(o.only, v.Name) {
			continue
		}
		if why := leaveVariable(v, o, inForce[v.Name] == i); why != "" {
			found.left = append(found.left, from+": "+why)
			continue
		}
		if v.Name == "N8N_ENCRYPTION_KEY" {
			e.judgeMasterKey(v.Value)
		}
		found.list = append(found.list, importItem{name: v.Name, from: from, load: have(v.Value)})
	}
	found.deletable = func(r importReport) []string {
		var list []string
		for _, one := range r.Secrets {
			if one.there() {
				name := one.From[strings.LastIndexByte(one.From, ' ')+1:]
				list = append(list, fmt.Sprintf("the value in %s; write %s=%s there", one.From, name, one.Reference))
			}
		}
		return list
	}
	return found, missingOnly(o, found)
}

// leaveVariable says why a variable is not imported, or "".
func leaveVariable(v envfile.Variable, o importOptions, inForce bool) string {
	value := string(v.Value.Reveal())
	switch {
	case !inForce:
		return "the same name stands again further down"
	case v.Problem != "":
		return v.Problem
	case v.Value.IsZero():
		return "it is empty"
	case isReference(value):
		return "it is a reference already"
	case environment.IsPlaceholder(value):
		return "it is a placeholder"
	case o.all || len(o.only) > 0:
		return ""
	case strings.HasSuffix(v.Name, "_FILE"):
		return "it names a file; import the file with `sallyport secret set NAME --file FILE`"
	case !secretName.MatchString(v.Name) && !holdsPassword(value):
		return "by its name it is not a secret (--only or --all takes it)"
	}
	return ""
}

func isReference(value string) bool {
	_, is, _ := secret.ParseAny(value)
	return is
}

// holdsPassword tells URLs with a password in them.
func holdsPassword(value string) bool {
	u, err := url.Parse(value)
	if err != nil || u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

// judgeMasterKey warns of a key that n8n takes and that protects nothing. It is imported all the same: n8n encrypts
// with it.
func (e *env) judgeMasterKey(v secret.Value) {
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	if problem, hint := environment.KeyProblem(string(v.Reveal()), exists); problem != "" {
		e.note("warning: N8N_ENCRYPTION_KEY: %s: %s", problem, hint)
	}
}

func (e *env) fromN8N(o importOptions, source string) (found importList, err error) {
	src, err := e.readSource(source, export.MaxSize)
	if err != nil {
		return found, err
	}
	credentials, err := export.Parse(src)
	if err != nil {
		return found, fmt.Errorf("reading %s: %w", source, err)
	}
	names := namesOf(credentials)
	for i, c := range credentials {
		from := fmt.Sprintf("%s %s (%s)", c.ID, c.Name, c.Type)
		if len(o.only) > 0 && !slices.Contains(o.only, c.Name) && !slices.Contains(o.only, c.ID) {
			found.partial = true
			continue
		}
		found.list = append(found.list, importItem{name: names[i], from: from, load: have(c.Data)})
	}
	found.deletable = func(r importReport) []string {
		all := !found.partial && len(r.Secrets) == len(found.list) &&
			!slices.ContainsFunc(r.Secrets, func(i imported) bool {
				return !i.there()
			})
		if !all || source == "-" {
			return nil
		}
		return []string{source + ": every credential of it is in the store (`shred -u " + source + "`)"}
	}
	return found, missingOnly(o, found)
}

// namesOf gives each credential a name of its own, also where a store takes capital letters for small ones: that of
// n8n, and its id behind it where another has the same.
func namesOf(credentials []export.Credential) []string {
	count, taken := make(map[string]int), make(map[string]bool)
	for _, c := range credentials {
		count[strings.ToLower(slug(c.Name))]++
	}
	names := make([]string, len(credentials))
	for i, c := range credentials {
		name := slug(c.Name)
		if name == "" || count[strings.ToLower(name)] > 1 {
			id := cmp.Or(slug(c.ID), "credential")
			name = strings.TrimPrefix(name+"-"+id, "-")
			for count[strings.ToLower(name)] > 0 || taken[strings.ToLower(name)] {
				name += "-" + id
			}
		}
		names[i], taken[strings.ToLower(name)] = name, true
	}
	return names
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// slug makes a name of what a person wrote.
func slug(text string) string {
	name := strings.Trim(notInNames.ReplaceAllString(text, "-"), "-.")
	return name[:min(len(name), 100)]
}

// missingOnly wants every name of --only to be there.
func missingOnly(o importOptions, found importList) error {
	for _, name := range o.only {
		there := func(i importItem) bool {
			return slices.Contains(strings.Fields(i.from), name) || i.name == slug(name) || i.name == name
		}
		if !slices.ContainsFunc(found.list, there) {
			why := "--only names something that is not there, or cannot be taken"
			for _, l := range found.left {
				if strings.Contains(l, name+":") {
					why = l
				}
			}
			return fmt.Errorf("importing %s: %s", name, why)
		}
	}
	return nil
}

func fromStore(ctx context.Context, s *app.State, o importOptions, source string) (found importList, err error) {
	name, prefix, err := sourcePrefix(source)
	if err != nil {
		return found, err
	}
	if to, toPrefix, _ := strings.Cut(o.to, "/"); to == name &&
		strings.TrimSuffix(toPrefix, "/") == strings.TrimSuffix(prefix, "/") {
		return found, usage(errors.New("the secrets are where they would go to"),
			"--to names another store, or another prefix")
	}
	t, err := openTarget(ctx, s, name)
	if err != nil {
		return found, err
	}
	paths, err := t.below(ctx, prefix)
	if err != nil {
		return found, err
	}
	base := prefix[:strings.LastIndexByte(prefix, '/')+1]
	for _, path := range paths {
		ref := secret.Ref{Store: name, Path: path}.String()
		if len(o.only) > 0 && !slices.Contains(o.only, path) &&
			!slices.Contains(o.only, strings.TrimPrefix(path, base)) {
			continue
		}
		found.list = append(found.list, importItem{
			name: strings.TrimPrefix(path, base), from: ref,
			load: func(ctx context.Context) (secret.Value, error) {
				if err := t.record(ctx, "secret.get", path); err != nil {
					return secret.Value{}, err
				}
				value, _, err := t.Get(ctx, path, "")
				return value, err
			},
		})
	}
	found.deletable = func(r importReport) []string {
		var list []string
		for _, one := range r.Secrets {
			if one.there() {
				list = append(list, one.From+", once nothing refers to it any more")
			}
		}
		return list
	}
	return found, nil
}

// sourcePrefix reads ref+STORE://PREFIX; the prefix may be empty.
func sourcePrefix(source string) (store, prefix string, err error) {
	rest, ok := strings.CutPrefix(source, "ref+")
	store, prefix, hasScheme := strings.Cut(rest, "://")
	if !ok || !hasScheme || store == "" || strings.ContainsAny(prefix, "?#") {
		return "", "", usage(errors.New("the source of --from store is no reference"),
			"write ref+STORE://PREFIX, such as ref+old://secret/n8n/")
	}
	return store, prefix, nil
}

// below lists the paths under a prefix; a store that cannot list has the one of that name, if it has it.
func (t *target) below(ctx context.Context, prefix string) ([]string, error) {
	l, err := t.lister()
	if err != nil {
		if _, _, getErr := t.Get(ctx, prefix, ""); getErr != nil {
			return nil, errors.Join(err, getErr)
		}
		return []string{prefix}, nil
	}
	entries, err := l.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, one := range entries {
		paths = append(paths, one.Path)
	}
	return paths, nil
}

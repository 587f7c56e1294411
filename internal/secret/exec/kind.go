package exec

import (
	"context"
	_ "embed" // the page
	"regexp"
	"slices"
	"strings"
	"time"

	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind exec. A command for each secret is slow: it is run less often than other stores are asked.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "exec", ReadOnly: true,
		Summary: "A command that prints the secret: 1Password, Bitwarden, Doppler, pass and whatever " +
			"else has one.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Refresh:  10 * time.Minute,
	}
}

// Settings are the keys of a store of kind exec.
type Settings struct {
	Command  []string      `yaml:"command" free:"true" eg:"[op, read, \"op://prod/{path}\"]" needed:"write command: [op, read, \"op://prod/{path}\"]" doc:"The command and its arguments, without a shell; {path} stands for the path. Its output is the secret."`
	Timeout  time.Duration `yaml:"timeout" default:"10s" min:"100ms" max:"5m" backend:"same" doc:"When the command is killed."`
	Pass     []string      `yaml:"pass" eg:"[OP_SERVICE_ACCOUNT_TOKEN, OP_*]" backend:"same" doc:"The variables of Sallyport's environment that the command gets beside PATH and HOME; a '*' at the end stands for any ending."`
	NotFound []int         `yaml:"not_found" eg:"[44]" min:"1" max:"255" doc:"Exit codes that mean that there is no such secret."`
	Denied   []int         `yaml:"denied" eg:"[3]" min:"1" max:"255" doc:"Exit codes that mean that access is denied."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	takesPath := func(arg string) bool { return strings.Contains(arg, Placeholder) }
	if len(s.Command) > 0 && !slices.ContainsFunc(s.Command[1:], takesPath) {
		r.Fail("command", "has no {path} in its arguments: every secret would be the same",
			`write it as [op, read, "op://prod/{path}"]`)
	}
}

// Files implements secret.Settings.
func (*Settings) Files() []string { return nil }

// credential tells names of variables whose values are secrets.
var credential = regexp.MustCompile(
	`(?i)(^|_)(pass|password|passwd|passphrase|pwd|secret|secrets|token|key|apikey|credential|credentials|dsn)(_|$)|_SESSION$`)

// Variables implements secret.Settings: of what the command is passed, those whose names say secret. A pass of all
// names none.
func (s *Settings) Variables(environ []string) (names []string) {
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		passed := slices.ContainsFunc(s.Pass, func(pattern string) bool {
			prefix, many := strings.CutSuffix(pattern, "*")
			return pattern == name || (many && prefix != "" && strings.HasPrefix(name, prefix))
		})
		if passed && credential.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

// Open implements secret.Settings.
func (s *Settings) Open(_ context.Context, on secret.Host) (secret.Store, error) {
	return New(Options{
		Command: s.Command, Timeout: s.Timeout, Pass: s.Pass, Environ: on.Environ,
		NotFound: s.NotFound, Denied: s.Denied,
	})
}

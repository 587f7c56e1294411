// Package environment is what is known of n8n's environment: which command is n8n, which variables it reads, from a
// file too, how it reads them, which master keys are mistakes, and the copy of the key that n8n keeps in its settings
// file.
//
// It starts nothing and changes nothing. What it says was read in, and tried on, n8n 1.123.81 and 2.41.1.
//
// Invariant: no problem, hint or error that it returns quotes the value of a variable.
package environment

import (
	"path"
	"slices"
	"strings"
)

// Role is what an n8n process is, by its first argument.
type Role string

// The roles. A CLI command such as export:workflow reads the master key as the main process does.
const (
	Main    Role = "main"
	Worker  Role = "worker"
	Webhook Role = "webhook"
)

// wrappers are programs that run the command behind their own options.
var wrappers = []string{
	"tini", "tini-static", "dumb-init", "catatonit", "su-exec",
	"gosu", "setpriv", "nice", "env", "exec",
}

// imageEntrypoint is the script with which n8n's own image starts n8n: its arguments are n8n's.
const imageEntrypoint = "docker-entrypoint.sh"

// Command tells whether argv runs n8n: as n8n, as node …/n8n, as the entrypoint of n8n's image (which sets
// N8N_VERSION), or any of them behind a small init; and which role the process has.
func Command(argv []string, lookup func(name string) (string, bool)) (Role, bool) {
	for i, arg := range argv {
		switch base := path.Base(arg); {
		case base == "n8n":
			return roleOf(argv[i+1:]), true
		case base == imageEntrypoint && inImage(lookup):
			return roleOf(argv[i+1:]), true
		case base == "node":
			return node(argv[i+1:])
		case i == 0 && !slices.Contains(wrappers, base):
			return "", false
		}
	}
	return "", false
}

func inImage(lookup func(string) (string, bool)) bool {
	_, ok := lookup("N8N_VERSION")
	return ok
}

// node finds the script among node's arguments: the first that is no option.
func node(args []string) (Role, bool) {
	for i, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		if base := path.Base(arg); base == "n8n" || base == "n8n.js" {
			return roleOf(args[i+1:]), true
		}
		return "", false
	}
	return "", false
}

// roleOf reads the role as n8n does: from the first argument alone.
func roleOf(args []string) Role {
	if len(args) > 0 && (args[0] == string(Worker) || args[0] == string(Webhook)) {
		return Role(args[0])
	}
	return Main
}

// families are the beginnings of the names of n8n's variables (@n8n/config of both versions), and the names that stand
// alone.
var families = []string{
	"N8N_", "DB_POSTGRESDB_", "DB_SQLITE_", "DB_MYSQLDB_", "DB_LOGGING_", "QUEUE_", "CREDENTIALS_",
	"EXECUTIONS_", "EXTERNAL_HOOK_",
	"EXTERNAL_FRONTEND_HOOKS_", "NODES_", "WORKFLOWS_", "DAYTONA_", "INSTANCE_AI_",
}

var alone = []string{
	"DB_TYPE", "DB_TABLE_PREFIX", "DEPLOYMENT_NAME", "GENERIC_TIMEZONE", "WEBHOOK_URL", "HTTP_PROXY",
	"HTTPS_PROXY", "ALL_PROXY",
}

// Knows tells whether n8n reads a variable of this name.
func Knows(name string) bool {
	return slices.Contains(alone, name) || slices.ContainsFunc(families, func(f string) bool {
		return strings.HasPrefix(name, f) && name != f
	})
}

// space is what JavaScript's String.prototype.trim removes (ECMAScript: WhiteSpace and LineTerminator): unlike Go's,
// with the byte order mark and without NEL.
func space(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF:
		return true
	}
	return r >= 0x2000 && r <= 0x200A
}

// Trim is what n8n makes of the content of a NAME_FILE file.
func Trim(content string) string { return strings.TrimFunc(content, space) }

// Normalize is what n8n makes of the value of a variable that is text: trimmed, and without one pair of quotes around
// it.
func Normalize(value string) string {
	value = Trim(value)
	if len(value) < 2 || strings.ContainsAny(value, "\n\r\u2028\u2029") {
		return value
	}
	if q := value[0]; (q == '"' || q == '\'') && value[len(value)-1] == q {
		return value[1 : len(value)-1]
	}
	return value
}

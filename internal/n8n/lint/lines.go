package lint

import (
	"regexp"
	"strings"
)

// assignment is one of the variables with what is given to it; what stands before it tells whether it is in quotes.
var (
	assignment = regexp.MustCompile(`(^|[\s"',{=])(N8N_ENCRYPTION_KEY(?:_FILE)?)["']?\s*([=:]|\s)\s*`)
	newTask    = regexp.MustCompile(`^\s*task\s+"`)
	fromENV    = regexp.MustCompile(`^\s*ENV\s`)
)

// fromLines reads a file line by line. Of a file that is YAML but for its templates, it reads what stands on one line.
func fromLines(k kind, content []byte) []setting {
	var list []setting
	scope, number := 0, 0
	for line := range strings.Lines(string(content)) {
		number++
		if k == nomad && newTask.MatchString(line) {
			scope++
		}
		if comment(line) {
			continue
		}
		for _, at := range assignment.FindAllStringSubmatchIndex(line, -1) {
			before, name, sign := line[at[2]:at[3]], line[at[4]:at[5]], line[at[6]:at[7]]
			if strings.TrimSpace(sign) == "" && !fromENV.MatchString(line) {
				continue // a mention
			}
			list = append(list, setting{
				line: number, name: name, value: valueAt(k, before, strings.TrimRight(line[at[1]:], "\r\n")),
				scope: scope, form: formOf(k, line, sign),
			})
		}
	}
	return list
}

func comment(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") || strings.HasPrefix(line, "//")
}

// valueAt is the value that rest begins with: to the quote that closes it, or to its end as such files have it.
func valueAt(k kind, before, rest string) string {
	if before == `"` || before == "'" {
		value, _, _ := strings.Cut(rest, before)
		if inner := strings.TrimSpace(value); inner != "" || !strings.HasPrefix(rest, before) {
			return value
		}
		rest = strings.TrimSpace(rest)
	}
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		value, _, _ := strings.Cut(rest[1:], rest[:1])
		return value
	}
	if k == variables || k == compose || k == kubernetes {
		rest, _, _ = strings.Cut(rest, " #")
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "${") || strings.HasPrefix(rest, "$(") {
			return strings.TrimSpace(rest)
		}
	}
	if strings.HasPrefix(rest, "{{") {
		return rest
	}
	value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return strings.TrimRight(value, `,;\}`)
}

func formOf(k kind, line, sign string) string {
	trimmed := strings.TrimSpace(line)
	switch {
	case k == systemd:
		return "Environment=NAME=VALUE"
	case k == nomad:
		return `NAME = "VALUE"`
	case sign == ":":
		return "NAME: VALUE"
	case strings.HasPrefix(trimmed, "- "):
		return "- NAME=VALUE"
	case fromENV.MatchString(line):
		return "ENV NAME=VALUE"
	case strings.HasPrefix(trimmed, "export "):
		return "export NAME=VALUE"
	}
	return "NAME=VALUE"
}

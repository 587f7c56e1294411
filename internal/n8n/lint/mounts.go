package lint

import (
	"path"
	"regexp"
	"strings"

	"sallyport/internal/n8n/environment"
)

// Where systemd and Nomad put what they hand to a process; the paths are those of no file that matters otherwise.
const (
	credentials = "/run/credentials/of-the-unit"
	wherePuts   = "mount the secret there (`secrets:` of the service, `volumeMounts:` of the container), or correct " +
		"the name"
)

// fromUnits finds the processes of a unit, a job or a script of which it is told to the end what is put where: their
// N8N_ENCRYPTION_KEY_FILE, and what there is for it to name.
func fromUnits(k kind, content []byte) []node {
	switch k {
	case systemd:
		return unitNodes(content)
	case nomad:
		return taskNodes(content)
	case variables:
		return commandNodes(content)
	case compose, kubernetes: // which the reader of YAML has
	}
	return nil
}

var (
	execStart  = regexp.MustCompile(`(?m)^\s*ExecStart\s*=`)
	credential = regexp.MustCompile(`^\s*(?:Load|Set)Credential(?:Encrypted)?\s*=\s*"?([^:\s"]+)`)
	imported   = regexp.MustCompile(`(?m)^\s*ImportCredential\s*=`)
)

// unitNodes reads a systemd unit that is here as a whole, which a drop-in is not.
func unitNodes(content []byte) []node {
	if !execStart.Match(content) || imported.Match(content) {
		return nil
	}
	n := node{
		hasKey: true,
		put: "give the unit the credential (LoadCredentialEncrypted=NAME:FILE, as `sallyport key install " +
			"--target systemd` shows), or correct the name",
	}
	for _, s := range fromLines(systemd, content) {
		if name, ok := strings.CutPrefix(s.value, "%d/"); ok && s.name == environment.KeyFileName {
			n.file, n.fileAt = path.Join(credentials, name), s.line
		}
	}
	for line := range strings.Lines(string(content)) {
		m := credential.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at := path.Join(credentials, m[1])
		if strings.HasPrefix(n.file, at+"_") {
			at = n.file // a folder of credentials, by the names of its files
		}
		n.mounts = append(n.mounts, at)
	}
	return []node{n}
}

var (
	destination = regexp.MustCompile(`^\s*"?(?:destination|target)"?\s*=\s*"([^"]*)"`)
	elsewhere   = regexp.MustCompile(`^\s*"?(?:artifact|volume_mount|mount|mounts|volumes)"?\s*[={]`)
)

// taskNodes reads the tasks of a job. What is below Nomad's own folders is put there by a template of the task, or by
// an artifact or a volume, which may hold any file.
func taskNodes(content []byte) (list []node) {
	settings := fromLines(nomad, content)
	scope, tasks := 0, map[int]*node{}
	for line := range strings.Lines(string(content)) {
		if newTask.MatchString(line) {
			scope++
		}
		n := tasks[scope]
		if n == nil {
			n = &node{hasKey: true, put: "have a `template` of the task write the secret to this destination, as " +
				"`sallyport key install --target nomad` shows, or correct the name"}
			tasks[scope] = n
		}
		if m := destination.FindStringSubmatch(line); m != nil && !comment(line) {
			n.mounts = append(n.mounts, inTask(m[1]))
		}
		n.opaque = n.opaque || elsewhere.MatchString(line) && !comment(line)
	}
	for _, s := range settings {
		file := inTask(s.value)
		nomads := strings.HasPrefix(file, "/secrets/") || strings.HasPrefix(file, "/local/")
		if n := tasks[s.scope]; s.name == environment.KeyFileName && n != nil && nomads {
			n.file, n.fileAt = file, s.line
			list = append(list, *n)
		}
	}
	return list
}

// inTask is a path as a task has it: Nomad fills in the folders, and takes a relative destination from the task's own.
func inTask(name string) string {
	name = strings.NewReplacer("${NOMAD_SECRETS_DIR}", "/secrets", "${NOMAD_TASK_DIR}", "/local").Replace(name)
	if strings.HasPrefix(name, "secrets/") || strings.HasPrefix(name, "local/") {
		name = "/" + name
	}
	return path.Clean(name)
}

var (
	creating = regexp.MustCompile(`\b(?:docker|podman)\s+(?:service\s+create|run|create|container\s+(?:run|create))\s`)
	mounting = regexp.MustCompile(
		`--(?:secret|config|mount|volume|tmpfs)[=\s]\s*["']?([^\s"']+)|\s-v[=\s]?\s*["']?([^\s"']+)`)
)

// commandNodes reads commands of a script that make a container or a service of a swarm. One that changes a service
// tells only what is new of it.
func commandNodes(content []byte) (list []node) {
	settings, number := fromLines(variables, content), 0
	var whole strings.Builder
	begins := 1
	for line := range strings.Lines(string(content) + "\n") {
		number++
		text := strings.TrimRight(line, "\r\n")
		if rest, goesOn := strings.CutSuffix(text, "\\"); goesOn {
			whole.WriteString(rest + " ")
			continue
		}
		whole.WriteString(text)
		if creating.MatchString(whole.String()) && strings.Contains(whole.String(), "n8n") {
			list = append(list, commandNode(whole.String(), settings, begins, number)...)
		}
		whole.Reset()
		begins = number + 1
	}
	return list
}

func commandNode(text string, settings []setting, from, to int) []node {
	n := node{
		hasKey: true,
		put: "mount the secret there (--secret source=…,target=… of `docker service create`, --volume of " +
			"`docker run`), or correct the name",
	}
	for _, m := range mounting.FindAllStringSubmatch(text, -1) {
		n.mounts = append(n.mounts, targetOf(m[0], m[1]+m[2]))
	}
	for _, s := range settings {
		if s.name == environment.KeyFileName && s.line >= from && s.line <= to {
			n.file, n.fileAt = s.value, s.line
		}
	}
	if n.file == "" {
		return nil
	}
	return []node{n}
}

// targetOf is where an option puts something: source=A,target=B, A:B, or the name of a secret.
func targetOf(option, value string) string {
	source := ""
	for field := range strings.SplitSeq(value, ",") {
		switch name, text, _ := strings.Cut(field, "="); name {
		case "target", "dst", "destination":
			source = text
		case "source", "src":
			if source == "" {
				source = text
			}
		}
	}
	if source == "" {
		source = value
		if parts := strings.Split(value, ":"); len(parts) > 1 {
			source = parts[1]
		}
	}
	if strings.Contains(option, "--secret") {
		return under("/run/secrets", source)
	}
	if strings.Contains(option, "--config") {
		return under("/", source)
	}
	return source
}

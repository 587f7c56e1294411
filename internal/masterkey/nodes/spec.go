package nodes

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/process"
	"sallyport/internal/program"
)

// None of them begins with a dash, which a program would take for a flag.
var (
	isNodeName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/@-]{0,127}$`)
	isContainer = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$`)
	isPart      = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`) // a namespace, a pod, a container of one
	isAlloc     = regexp.MustCompile(`^[0-9a-f-]{2,36}$`)
)

const hintSpec = "write NAME=docker:CONTAINER, NAME=kubectl:NAMESPACE/POD[/CONTAINER], NAME=nomad:ALLOC[/TASK], " +
	"NAME=systemd:[HOST/]UNIT, NAME=exec:COMMAND…, " +
	"NAME=file:PATH or NAME=https://HOST:PORT"

// ParseNode reads how a node is named and asked: NAME=WAY:WHERE, see hintSpec. agents are the settings for http and
// https.
func ParseNode(spec string, agents Agents) (Node, error) {
	name, way, ok := strings.Cut(spec, "=")
	if !ok || !isNodeName.MatchString(name) {
		return Node{}, specError(name, errors.New("it has no name that can be printed"))
	}
	asker, err := ParseWay(way, agents)
	if err != nil {
		return Node{}, specError(name, err)
	}
	return Node{Name: name, Asker: asker}, nil
}

func specError(name string, err error) error {
	err = fmt.Errorf("reading --node %q: %w", program.Clean(name), err)
	if fault.HintOf(err) == "" {
		err = fault.WithHint(err, hintSpec)
	}
	return err
}

// ParseWay reads how a node is asked: WAY:WHERE, and for docker, kubectl and nomad through what, ?KEY=VALUE&….
func ParseWay(text string, agents Agents) (Asker, error) {
	way, where, _ := strings.Cut(text, ":")
	switch way {
	case "docker", "kubectl", "nomad":
		where, through, _ := strings.Cut(where, "?")
		at, err := parseThrough(way, through)
		if err != nil {
			return nil, err
		}
		return parseInside(way, where, at)
	case "systemd":
		return parseUnit(where)
	case "exec":
		if words := strings.Fields(where); len(words) > 0 {
			return command(words), nil
		}
		return nil, errors.New("exec: wants the command that runs another one in the node, such as: exec:ssh n8n-1")
	case "file":
		if where != "" {
			return file{where}, nil
		}
		return nil, errors.New("file: wants the file that the node has written")
	case "http", "https":
		return newAgent(text, agents)
	}
	return nil, fmt.Errorf("there is no way %q", program.Clean(way))
}

func parseInside(way, where string, at through) (Asker, error) {
	switch way {
	case "docker":
		if isContainer.MatchString(where) {
			return docker(at["host"], where), nil
		}
		return nil, errors.New("docker: wants the name or the id of a container")
	case "kubectl":
		return parsePod(where, at)
	}
	id, task, _ := strings.Cut(where, "/")
	if isAlloc.MatchString(id) && (task == "" || isContainer.MatchString(task)) {
		return allocation(id, task, at), nil
	}
	return nil, errors.New("nomad: wants the id of an allocation, and a task behind a slash")
}

// through is how a program finds what it is to ask, where that is not where its own settings say.
type through map[string]string

// throughs are the keys that the ways take, in the order of the flags that they become.
func throughs(way string) []string {
	switch way {
	case "docker":
		return []string{"host"}
	case "kubectl":
		return []string{"kubeconfig", "context"}
	}
	return []string{"address", "region", "namespace", "ca", "cert", "key", "server_name"}
}

func parseThrough(way, text string) (through, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("%s: what stands behind ? is not KEY=VALUE&KEY=VALUE", way)
	}
	at := make(through)
	for key, all := range values {
		if !slices.Contains(throughs(way), key) || len(all) != 1 || all[0] == "" ||
			strings.ContainsFunc(all[0], unicode.IsControl) {
			return nil, fmt.Errorf("%s: behind ? it takes one value each of %s", way, strings.Join(throughs(way), ", "))
		}
		at[key] = all[0]
	}
	return at, nil
}

// flags are the values as flags of a program, in one word each, so that no value is taken for another flag.
func (t through) flags(way string, names map[string]string) (flags []string) {
	for _, key := range throughs(way) {
		if value := t[key]; value != "" {
			flags = append(flags, names[key]+"="+value)
		}
	}
	return flags
}

func parsePod(where string, at through) (Asker, error) {
	parts := strings.Split(where, "/")
	for _, part := range parts {
		if !isPart.MatchString(part) {
			return nil, errors.New("kubectl: wants NAMESPACE/POD or NAMESPACE/POD/CONTAINER")
		}
	}
	switch len(parts) {
	case 2:
		return pod(parts[0], parts[1], "", at), nil
	case 3:
		return pod(parts[0], parts[1], parts[2], at), nil
	}
	return nil, errors.New("kubectl: wants NAMESPACE/POD or NAMESPACE/POD/CONTAINER")
}

// isHost is what ssh takes, and not for a flag.
var isHost = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._-]*$`)

func parseUnit(where string) (Asker, error) {
	host, name, found := strings.Cut(where, "/")
	if !found {
		host, name = "", where
	}
	if found && !isHost.MatchString(host) || process.CheckUnit(name) != nil {
		return nil, errors.New("systemd: wants UNIT.service or HOST/UNIT.service")
	}
	return systemUnit(host, name), nil
}

// Distinct refuses nodes that have one name.
func Distinct(all []Node) error {
	seen := make(map[string]bool)
	for _, n := range all {
		if seen[n.Name] {
			return fault.WithHint(fmt.Errorf("two nodes are called %q", n.Name), "give each its own name")
		}
		seen[n.Name] = true
	}
	return nil
}

package nodes

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sallyport/internal/fault"
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
	"NAME=exec:COMMAND…, " +
	"NAME=file:PATH or NAME=https://HOST:PORT"

// ParseNode reads how a node is named and asked: NAME=WAY:WHERE, see hintSpec. agents are the settings for http and
// https.
func ParseNode(spec string, agents Agents) (Node, error) {
	name, way, ok := strings.Cut(spec, "=")
	if !ok || !isNodeName.MatchString(name) {
		return Node{}, specError(name, errors.New("it has no name that can be printed"))
	}
	asker, err := parseWay(way, agents)
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

func parseWay(text string, agents Agents) (Asker, error) {
	way, where, _ := strings.Cut(text, ":")
	switch way {
	case "docker":
		if isContainer.MatchString(where) {
			return docker("", where), nil
		}
		return nil, errors.New("docker: wants the name or the id of a container")
	case "kubectl":
		return parsePod(where)
	case "nomad":
		id, task, _ := strings.Cut(where, "/")
		if isAlloc.MatchString(id) && (task == "" || isContainer.MatchString(task)) {
			return allocation(id, task), nil
		}
		return nil, errors.New("nomad: wants the id of an allocation, and a task behind a slash")
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

func parsePod(where string) (Asker, error) {
	parts := strings.Split(where, "/")
	for _, part := range parts {
		if !isPart.MatchString(part) {
			return nil, errors.New("kubectl: wants NAMESPACE/POD or NAMESPACE/POD/CONTAINER")
		}
	}
	switch len(parts) {
	case 2:
		return pod(parts[0], parts[1], ""), nil
	case 3:
		return pod(parts[0], parts[1], parts[2]), nil
	}
	return nil, errors.New("kubectl: wants NAMESPACE/POD or NAMESPACE/POD/CONTAINER")
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

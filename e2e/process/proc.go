package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Tree is the ids of the process and of all that it has started and is still there, parents first.
func (p *Process) Tree() []int {
	children := map[int][]int{}
	for _, id := range All() {
		if parent, ok := parentOf(id); ok {
			children[parent] = append(children[parent], id)
		}
	}
	tree := []int{p.ID()}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree
}

// All is the ids of all processes of this machine, in order.
func All() []int {
	folders, _ := filepath.Glob("/proc/[0-9]*")
	var ids []int
	for _, folder := range folders {
		if id, err := strconv.Atoi(filepath.Base(folder)); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func parentOf(id int) (int, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return 0, false // it has ended
	}
	// The second field is the name in parentheses, which may hold anything; the fourth is the parent.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// Arguments is a process's command line as everyone on the machine can read it; nil when it has ended.
func Arguments(id int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}

// Environment is what a process was started with, as NAME=VALUE.
func Environment(id int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", id))
	if err != nil {
		return nil, fmt.Errorf("reading the environment of a process: %w", err)
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00"), nil
}

// Program is the file that a process runs, or "".
func Program(id int) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", id))
	return path
}

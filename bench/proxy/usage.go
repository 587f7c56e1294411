package proxy

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process and its descendants have used.
type Usage struct {
	CPU  time.Duration // user and system time since the start, in steps of 10 ms
	RSS  int64         // bytes in memory now; pages shared between processes count in each
	Peak int64         // the sum of each process's highest RSS so far
}

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usage adds up /proc for a process and its descendants.
func usage(root int) (Usage, error) {
	parents, err := parents()
	if err != nil {
		return Usage{}, err
	}
	var sum Usage
	for pid := range parents {
		if !descends(parents, pid, root) {
			continue
		}
		one, err := UsageOf(pid)
		if err != nil {
			return Usage{}, err
		}
		sum.CPU += one.CPU
		sum.RSS += one.RSS
		sum.Peak += one.Peak
	}
	return sum, nil
}

// descends reports whether pid is root or below it.
func descends(parents map[int]int, pid, root int) bool {
	for pid != root && pid > 1 {
		pid = parents[pid]
	}
	return pid == root
}

// parents maps every process to its parent.
func parents() (map[int]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("reading /proc (measuring needs Linux): %w", err)
	}
	parents := make(map[int]int, len(all))
	for _, file := range all {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, fmt.Errorf("reading a process's number: %w", err)
		}
		fields, err := stat(pid)
		if err != nil {
			continue // it has ended since
		}
		parents[pid] = int(fields[1])
	}
	return parents, nil
}

// UsageOf reads /proc for one process, without its descendants.
func UsageOf(pid int) (Usage, error) {
	fields, err := stat(pid)
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("reading a process's memory: %w", err)
	}
	return Usage{
		CPU:  time.Duration(fields[11]+fields[12]) * tick,
		RSS:  kilobytes(status, "VmRSS:"),
		Peak: kilobytes(status, "VmHWM:"),
	}, nil
}

// stat returns the numbers after the name in /proc/PID/stat (proc(5)): [1] is the parent, [11] and [12] user and system
// ticks. What is no number is 0.
func stat(pid int) ([]int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("reading a process's times: %w", err)
	}
	_, after, ok := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " ")
	words := strings.Fields(after)
	if !ok || len(words) < 13 {
		return nil, fmt.Errorf("reading a process's times: %q is too short", text)
	}
	fields := make([]int64, len(words))
	for i, word := range words {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			fields[i] = n
		}
	}
	return fields, nil
}

// kilobytes finds a line such as "VmRSS:     1234 kB" and returns its value in bytes; 0 without one.
func kilobytes(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

package entrypoint

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// reapEvery is how long the remains of a process lie before they are cleared away.
const reapEvery = 5 * time.Second

// reaper clears away children that nobody waits for: as PID 1, or as a subreaper, this process inherits them when their
// parents end. What it did not start itself it cannot tell from what a store's adapter started and waits for in another
// goroutine. That one is waiting already, and takes its child within milliseconds; so whatever has been dead for a
// whole interval is an orphan.
type reaper struct {
	every time.Duration
	woken chan struct{}

	mu    sync.Mutex
	child int // the program's own process id: it is waited for
}

func newReaper(every time.Duration) *reaper {
	if every <= 0 {
		every = reapEvery
	}
	return &reaper{every: every, woken: make(chan struct{}, 1)}
}

// poke tells that a child has ended.
func (r *reaper) poke() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// starting starts the program, which has an end that is waited for.
func (r *reaper) starting(start func() error, pid func() int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := start(); err != nil {
		return err
	}
	r.child = pid()
	return nil
}

// run looks for remains for as long as there may be some.
func (r *reaper) run(ctx context.Context) {
	timer := time.NewTimer(r.every)
	defer timer.Stop()
	dead := make(map[int]bool)
	for {
		if len(dead) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-r.woken:
			}
		}
		dead = r.sweep(dead)
		timer.Reset(r.every)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}

// sweep clears away what was dead at the sweep before, and returns what is dead now.
func (r *reaper) sweep(before map[int]bool) map[int]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	dead := make(map[int]bool)
	for _, pid := range zombies() {
		switch {
		case pid == r.child:
		case before[pid]:
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		default:
			dead[pid] = true
		}
	}
	return dead
}

// zombies are the children of this process that have ended and not been waited for. Without /proc there are none to
// see.
func zombies() []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range stats {
		stat, err := os.ReadFile(name) //nolint:gosec // the kernel's own
		if err != nil {
			continue // gone meanwhile
		}
		if pid, parent, state := parseStat(stat); state == 'Z' && parent == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parseStat reads "PID (NAME) STATE PARENT …"; the name may have anything in it (proc_pid_stat(5)).
func parseStat(stat []byte) (pid, parent int, state byte) {
	head, _, _ := bytes.Cut(stat, []byte(" "))
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, 0, 0
	}
	pid, _ = strconv.Atoi(string(head))
	parent, _ = strconv.Atoi(string(fields[1]))
	return pid, parent, fields[0][0]
}

// Package units runs processes of this host for a fleet of kind command, in the place of systemd or a container engine:
// a script restarts, stops, starts and shows them, as systemctl does, and another runs a program with the environment
// that a unit's process has, as docker exec would. It knows neither n8n nor Sallyport.
package units

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Unit is what is restarted at once. The functions are called one at a time.
type Unit struct {
	Start   func(context.Context) error // begins it, and does not wait until it serves
	Stop    func()                      // ends it, and waits for that
	PID     func() int                  // of its process; 0: it does not run
	Healthy func(context.Context) bool
}

// Manager has the units of one fleet.
type Manager struct {
	Control string // the script: CONTROL restart|stop|start|status|pid NAME
	Inside  string // the script: INSIDE NAME PROGRAM [ARGUMENT…]

	listener net.Listener
	ctx      context.Context //nolint:containedctx // of the processes, which outlive each command, never canceled
	working  sync.WaitGroup

	mu    sync.Mutex
	units map[string]Unit
	fails map[string]bool // "restart worker-2"
	calls []string        // those that change something
}

const (
	control = `#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/%s || exit 1
printf '%%s %%s\n' "$1" "$2" >&3
IFS= read -r code <&3
while IFS= read -r line <&3; do printf '%%s\n' "$line"; done
exit "$code"
`
	// No program is started with the values among its arguments, which everybody can read.
	inside = `#!/bin/bash
pid=$(%s pid "$1") || exit 1
shift
for name in $(compgen -e); do unset "$name"; done
while IFS= read -r -d '' variable; do export "$variable"; done <"/proc/$pid/environ"
exec "$@"
`
)

func script(path, text string) error { return os.WriteFile(path, []byte(text), 0o700) }

// New has its scripts in folder.
func New(ctx context.Context, folder string) (*Manager, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the units' commands: %w", err)
	}
	m := &Manager{
		Control: filepath.Join(folder, "control"), Inside: filepath.Join(folder, "inside"),
		listener: listener, ctx: context.WithoutCancel(ctx), units: map[string]Unit{}, fails: map[string]bool{},
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	err = errors.Join(script(m.Control, fmt.Sprintf(control, port)), script(m.Inside, fmt.Sprintf(inside, m.Control)))
	if err != nil {
		listener.Close()
		return nil, err
	}
	m.working.Add(1)
	go m.serve()
	return m, nil
}

// Close ends the scripts' door, and not the units.
func (m *Manager) Close() {
	m.listener.Close()
	m.working.Wait()
}

// Add makes a unit known.
func (m *Manager) Add(name string, u Unit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.units[name] = u
}

// Fail has the next such command of a unit end with 1, half-way: a restart has stopped the unit by then, and has not
// started it.
func (m *Manager) Fail(do, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails[do+" "+name] = true
}

// Calls are the commands that were to change something, in their order.
func (m *Manager) Calls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.calls...)
}

func (m *Manager) serve() {
	defer m.working.Done()
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.working.Go(func() {
			defer conn.Close()
			line, err := bufio.NewReader(conn).ReadString('\n')
			do, name, ok := strings.Cut(strings.TrimSpace(line), " ")
			if err != nil || !ok {
				return
			}
			code, said := m.do(do, name)
			fmt.Fprintf(conn, "%d\n%s", code, said)
		})
	}
}

func (m *Manager) do(do, name string) (code int, said string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, known := m.units[name]
	if !known {
		return 4, "there is no unit " + name + "\n"
	}
	if do == "status" || do == "pid" {
		return m.show(do, u)
	}
	m.calls = append(m.calls, do+" "+name)
	fails := m.fails[do+" "+name]
	delete(m.fails, do+" "+name)
	var err error
	switch do {
	case "restart":
		if u.Stop(); !fails {
			err = u.Start(m.ctx)
		}
	case "stop":
		u.Stop()
	case "start":
		if u.PID() == 0 {
			err = u.Start(m.ctx)
		}
	default:
		return 2, "there is no command " + do + "\n"
	}
	switch {
	case err != nil:
		return 1, err.Error() + "\n"
	case fails:
		return 1, "the connection to the host broke off\n"
	}
	return 0, ""
}

func (m *Manager) show(do string, u Unit) (code int, said string) {
	pid := u.PID()
	switch {
	case pid == 0 && do == "pid":
		return 1, "it does not run\n"
	case pid == 0:
		return 3, "inactive\n"
	case do == "pid" || u.Healthy(m.ctx):
		return 0, fmt.Sprintf("%d\n", pid)
	}
	return 1, fmt.Sprintf("%d\nit does not serve\n", pid)
}

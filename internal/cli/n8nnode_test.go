package cli_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/survey"
	"sallyport/internal/n8n/database"
)

// n8nnode stands in for n8n: a process with a session on the database, which does not start with another key than the
// database's, as n8n 2.39 and later. `n8nnode start|stop|status NAME` are what a fleet of kind command calls, in the
// folder of $NODES; whatever stands before it in $NODES/wrapper starts the process.
func n8nnode(args []string) int {
	n := node{dir: os.Getenv("NODES"), name: args[1]}
	do := map[string]func() error{"start": n.start, "stop": n.stop, "status": n.status, "run": n.run}[args[0]]
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	return 0
}

type node struct{ dir, name string }

func (n node) at(what string) string { return filepath.Join(n.dir, n.name+"."+what) }

// lock is held by the process for its life. how is LOCK_EX, with or without LOCK_NB.
func (n node) lock(how int) (*os.File, error) {
	f, err := os.OpenFile(n.at("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return f, syscall.Flock(int(f.Fd()), how)
}

func (n node) runs() bool {
	f, err := n.lock(syscall.LOCK_EX | syscall.LOCK_NB)
	_ = f.Close()
	return err != nil
}

func (n node) start() error {
	if err := os.WriteFile(n.at("wanted"), nil, 0o600); err != nil || n.runs() {
		return err
	}
	wrapper, _ := os.ReadFile(filepath.Join(n.dir, "wrapper"))
	argv := append(strings.Fields(string(wrapper)), os.Args[0], "run", n.name)
	cmd := exec.Command(argv[0], argv[1:]...)
	log, err := os.OpenFile(n.at("log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

func (n node) stop() error {
	if err := os.Remove(n.at("wanted")); err != nil && !os.IsNotExist(err) {
		return err
	}
	if pid, err := os.ReadFile(n.at("pid")); err == nil && n.runs() {
		id, _ := strconv.Atoi(string(pid))
		_ = syscall.Kill(id, syscall.SIGTERM)
	}
	held, err := n.lock(syscall.LOCK_EX) // which it gives back when it has ended
	return errors.Join(err, held.Close())
}

func (n node) status() error {
	if !n.runs() {
		if _, err := os.Stat(n.at("wanted")); err != nil {
			fmt.Println("stopped")
		}
		return errors.New("it does not run")
	}
	ready, err := os.ReadFile(n.at("ready"))
	if err != nil {
		return errors.New("it starts")
	}
	fmt.Println(string(ready))
	return nil
}

func (n node) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	held, err := n.lock(syscall.LOCK_EX | syscall.LOCK_NB)
	if err != nil {
		return err
	}
	defer held.Close()
	_ = os.Remove(n.at("ready"))
	if err := os.WriteFile(n.at("pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	db, err := database.Open(ctx, database.Options{URL: os.Getenv("NODES_DATABASE")})
	if err != nil {
		return err
	}
	defer db.Close()
	v, err := survey.Check(ctx, db, masterkey.Inspect(os.LookupEnv, "nonce of the stand-in").Key())
	if err != nil || v.Result != survey.Match {
		return fmt.Errorf("the deployment key cannot be read with this instance's key: %s, %w", v.Result, err)
	}
	tx, err := db.Begin(ctx, false) // a session, for as long as it runs
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := os.WriteFile(n.at("ready"), []byte(rand.Text()), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

package backing

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"sallyport/e2e/process"
)

// MariaDB is a running MariaDB with one database, and an account of the same name that owns it and needs its password.
type MariaDB struct {
	*process.Process
	Port string

	folder string
}

// StartMariaDB makes a server in folder and starts daemon, the path of mariadbd. What else it needs is in the PATH.
func StartMariaDB(ctx context.Context, daemon, folder, account, password string) (*MariaDB, error) {
	ports, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	temporary := filepath.Join(folder, "tmp") // a server that starts removes the others' tables from a shared one
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, err
	}
	options := []string{"--no-defaults", "--datadir=" + filepath.Join(folder, "data"), "--tmpdir=" + temporary}
	if os.Geteuid() == 0 {
		options = append(options, "--user=root") // it would refuse to run as root otherwise
	}
	made := exec.CommandContext(ctx, "mariadb-install-db",
		append(options, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")...)
	if out, err := made.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("running mariadb-install-db: %w\n%s", err, out)
	}
	m := &MariaDB{Port: ports[0], folder: folder}
	server := exec.CommandContext(context.WithoutCancel(ctx), daemon,
		append(options, "--bind-address=127.0.0.1", "--port="+m.Port,
			"--socket="+m.socket(), "--pid-file="+filepath.Join(folder, "pid"), "--innodb-flush-log-at-trx-commit=0",
			"--innodb-buffer-pool-size=64M", "--skip-name-resolve", "--lc-messages=en_US")...)
	if m.Process, err = process.Start(server); err != nil {
		return nil, err
	}
	if err = m.AwaitLog(ctx, patience, "ready for connections"); err == nil {
		err = m.create(ctx, account, password)
	}
	if err != nil {
		m.Down()
		return nil, err
	}
	return m, nil
}

// Down ends the process, which has written everything then.
func (m *MariaDB) Down() { m.Stop(syscall.SIGTERM) }

func (m *MariaDB) socket() string { return filepath.Join(m.folder, "s") }

func (m *MariaDB) create(ctx context.Context, account, password string) error {
	quoted := strings.ReplaceAll(password, "'", "''")
	statements := fmt.Sprintf("CREATE DATABASE %s CHARACTER SET utf8mb4;\nCREATE USER %[1]s@'127.0.0.1' IDENTIFIED "+
		"BY '%s';\n"+
		"GRANT ALL ON %[1]s.* TO %[1]s@'127.0.0.1';\n", account, quoted)
	_, err := m.run(ctx, statements, "mariadb")
	return err
}

// Dump is everything in a database in the clear.
func (m *MariaDB) Dump(ctx context.Context, database string, options ...string) ([]byte, error) {
	return m.run(ctx, "", "mariadb-dump", append(options, database)...)
}

// Execute runs statements in a database as root, all in one go: semicolons within a trigger are left to the server.
func (m *MariaDB) Execute(ctx context.Context, database, statements string) error {
	const end = "$end$"
	_, err := m.run(ctx, statements+"\n"+end+"\n", "mariadb", "--delimiter="+end, database)
	return err
}

// run runs one of MariaDB's programs as its root, with input on stdin.
func (m *MariaDB) run(ctx context.Context, input, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program,
		append([]string{"--no-defaults", "--socket=" + m.socket(), "--user=root"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w\n%s", program, err, stderr.Bytes())
	}
	return out, nil
}

package backing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"sallyport/e2e/process"
)

// Postgres is a running PostgreSQL with one role and one database of the same name. The role needs its password; who
// may enter the folder needs none.
type Postgres struct {
	*process.Process
	Port string

	programs, folder string
}

// StartPostgres makes a cluster in folder and starts it. PostgreSQL does not run as root: then it runs as the user
// postgres, to whom folder goes, and who must be able to get there.
func StartPostgres(ctx context.Context, programs, folder, role, password string) (*Postgres, error) {
	ports, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	account, err := unprivileged(folder)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(folder, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(programs, "initdb"), "-D", data, "-U",
		"postgres", "--auth-local=trust",
		"--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = folder, account
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("running initdb: %w\n%s", err, out)
	}
	server := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(programs, "postgres"), "-D", data, "-k",
		folder, "-p", ports[0],
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=64MB", "-c",
		"logging_collector=off")
	server.Dir, server.SysProcAttr = folder, account
	p := &Postgres{Port: ports[0], programs: programs, folder: folder}
	if p.Process, err = process.Start(server); err != nil {
		return nil, err
	}
	if err = p.AwaitLog(ctx, patience, "ready to accept connections"); err == nil {
		err = p.create(ctx, role, password)
	}
	if err != nil {
		p.Down()
		return nil, err
	}
	return p, nil
}

// Down ends the process, which has written everything then.
func (p *Postgres) Down() { p.Stop(syscall.SIGINT) } // "fast": clients are not waited for

func (p *Postgres) create(ctx context.Context, role, password string) error {
	quoted := strings.ReplaceAll(password, "'", "''")
	statements := fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s';\nCREATE DATABASE %[1]s OWNER %[1]s;\n", role, quoted)
	return p.Execute(ctx, "postgres", statements)
}

// Dump is everything in a database in the clear, with further options of pg_dump. In the data folder longer values lie
// compressed.
func (p *Postgres) Dump(ctx context.Context, database string, options ...string) ([]byte, error) {
	return p.run(ctx, "", "pg_dump", append(options, "--inserts", database)...)
}

// Execute runs statements in a database as the superuser.
func (p *Postgres) Execute(ctx context.Context, database, statements string) error {
	_, err := p.run(ctx, statements, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database)
	return err
}

// Query is what a statement selects, as the superuser: its rows, each with its values between tabs.
func (p *Postgres) Query(ctx context.Context, database, statement string) ([]string, error) {
	out, err := p.run(ctx, statement, "psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", database)
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n"), nil
}

// run runs one of PostgreSQL's programs as the superuser, with input on stdin.
func (p *Postgres) run(ctx context.Context, input, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.programs, program),
		append([]string{"-h", p.folder, "-p", p.Port, "-U", "postgres"}, args...)...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = p.folder, strings.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w\n%s", program, err, stderr.Bytes())
	}
	return out, nil
}

func unprivileged(folder string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(folder, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

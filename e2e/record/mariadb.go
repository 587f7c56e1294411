package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"sallyport/e2e/backing"
)

// mariaServer is a MariaDB of its own.
type mariaServer struct {
	*backing.MariaDB
	folder string
}

func openMariaDB(ctx context.Context, tools string, packed []byte) (store, error) {
	daemon, err := installed(ctx, tools, "mariadb")
	if err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, filepath.Join(tools, "debian"),
		"mariadb-client").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("installing mariadb-dump: %w\n%s", err, out)
	}
	folder, err := os.MkdirTemp("", "n8n-record-mariadb-")
	if err != nil {
		return nil, err
	}
	s := &mariaServer{folder: folder}
	if s.MariaDB, err = backing.StartMariaDB(ctx, daemon, folder, account, password); err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	if packed == nil {
		return s, nil
	}
	if err := s.Execute(ctx, account, string(packed)); err != nil {
		s.Down()
		return nil, err
	}
	return s, nil
}

func (s *mariaServer) Settings() []string {
	return []string{
		"DB_TYPE=mariadb", "DB_MYSQLDB_HOST=127.0.0.1", "DB_MYSQLDB_PORT=" + s.Port,
		"DB_MYSQLDB_DATABASE=" + account, "DB_MYSQLDB_USER=" + account, "DB_MYSQLDB_PASSWORD=" + password,
	}
}

// Pack leaves out what the client alone understands, so that one Exec can load it: DELIMITER around the trigger, and
// who has made that.
func (s *mariaServer) Pack(ctx context.Context) ([]byte, error) {
	dump, err := s.Dump(ctx, account, "--skip-comments", "--skip-add-locks", "--skip-add-drop-table",
		"--skip-disable-keys", "--no-tablespaces")
	if err != nil {
		return nil, err
	}
	definer := regexp.MustCompile(`/\*!50017 DEFINER=[^*]*\*/ `)
	var b strings.Builder
	for line := range strings.Lines(string(dump)) {
		if strings.HasPrefix(line, "DELIMITER ") || strings.HasPrefix(line, "/*M!999999") {
			continue
		}
		if strings.HasSuffix(line, " ;;\n") || strings.HasSuffix(line, "*/;;\n") {
			line = strings.TrimSuffix(line, ";\n") + "\n"
		}
		b.WriteString(definer.ReplaceAllLiteralString(line, ""))
	}
	return []byte(b.String()), nil
}

func (s *mariaServer) Down() {
	s.MariaDB.Down()
	os.RemoveAll(s.folder)
}

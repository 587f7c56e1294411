package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

func databaseProblem(text string, password bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Opaque != "":
		return "is not a PostgreSQL URL"
	case password:
		return ""
	}
	if _, has := u.User.Password(); has {
		return "has a password in it"
	}
	for name := range u.Query() {
		if strings.Contains(strings.ToLower(name), "pass") {
			return "has a password in it"
		}
	}
	return ""
}

// DatabaseURL returns the PostgreSQL URL, reading database_file if that is how it is given; "" means SQLite. It may
// hold a password: never print it.
func (c *Config) DatabaseURL(read ReadFunc) (string, error) {
	if c.DatabaseFile == "" {
		return c.Database, nil
	}
	content, err := read(c.DatabaseFile)
	if err != nil {
		return "", fmt.Errorf("reading database_file %q: %w", c.DatabaseFile, err)
	}
	text := strings.TrimSpace(string(content))
	if databaseProblem(text, true) != "" {
		return "", fmt.Errorf("reading database_file %q: %w", c.DatabaseFile, errNotPostgres)
	}
	return text, nil
}

var errNotPostgres = errors.New("it holds no postgres:// URL")

package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/secret"
)

// address is the database's, "" for none. One with a password comes from a file: every process can read arguments.
func (k *keyFleet) address() (string, error) {
	switch {
	case k.database.URL != "" && k.databaseFile != "":
		return "", usage(errors.New("--database and --database-file are two databases"), "keep one")
	case k.databaseFile != "":
		content, err := os.ReadFile(k.databaseFile)
		if err != nil {
			return "", fmt.Errorf("reading --database-file: %w", err)
		}
		return strings.TrimSpace(string(content)), nil
	}
	if u, err := url.Parse(k.database.URL); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return "", usage(errors.New("--database has a password in it, which every process can read"), "write the address into a file of mode 0600: --database-file FILE")
		}
	}
	return k.database.URL, nil
}

// prove tries a key on the database.
func (k *keyFleet) prove(context.Context, string, secret.Value) (*nodes.Database, error) {
	return nil, errors.New("databases cannot be asked yet")
}

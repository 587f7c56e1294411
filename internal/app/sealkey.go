package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/secret/seal"
)

func keeperOf(c *config.Config) (seal.Keeper, error) {
	if c.Seal.KeyEnv != "" {
		return seal.KeyFromEnv(c.Seal.KeyEnv)
	}
	return seal.KeyFromFile(c.Seal.KeyFile)
}

// hintKeyAway is for a database whose seal key is not there.
const hintKeyAway = "put the key back where `seal.key_file` says, from the copy that was kept apart from the data; " +
	"another key opens nothing in this database"

// keyAway says of a missing seal key what helps: a new one does where there is no database yet.
func keyAway(c *config.Config, err error) error {
	if errors.Is(err, fs.ErrNotExist) && hasDatabase(c) {
		return fault.WithHint(err, hintKeyAway)
	}
	return err
}

// MayInit refuses to make a seal key beside a database that was sealed under another.
func MayInit(c *config.Config) error {
	if c.Seal.KeyEnv != "" || !hasDatabase(c) {
		return nil
	}
	if _, err := os.Stat(c.Seal.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fault.WithHint(fmt.Errorf("making seal key %q: there is a database already, which was sealed under a key "+
		"that is not there", c.Seal.KeyFile),
		hintKeyAway+". To begin again without what it holds, move the data directory away first")
}

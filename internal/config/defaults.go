package config

import (
	"path/filepath"
	"strings"
)

// placeFile makes a file name absolute to the folder it was written in. Names under <data>/ follow the data directory.
func (c *Config) placeFile(key, dir, name string) string {
	if rest, ok := strings.CutPrefix(name, dataPrefix); ok {
		c.underData[key] = rest
		return filepath.Join(c.Data, rest)
	}
	delete(c.underData, key)
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

const dataPrefix = "<data>/"

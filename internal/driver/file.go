package driver

import (
	"crypto/sha256"
	"encoding/hex"
)

// File is one whose content decides what a driver does, beside the configuration.
type File struct {
	Path   string `json:"path"`   // or what else names it to people
	SHA256 string `json:"sha256"` // of its content, in hexadecimal
}

// Filed is implemented by drivers that do what files say which are not the configuration: a script, a definition of an
// API.
type Filed interface {
	// Files are those, as they were when the driver was opened. The driver does nothing with one that is another since.
	Files() []File
}

// FilesOf are those of d; a driver that is not Filed has none.
func FilesOf(d Driver) []File {
	if filed, ok := d.(Filed); ok {
		return filed.Files()
	}
	return nil
}

// FileOf is the file at path with that content.
func FileOf(path string, content []byte) File {
	sum := sha256.Sum256(content)
	return File{path, hex.EncodeToString(sum[:])}
}

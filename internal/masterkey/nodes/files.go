package nodes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/localfile"
	"sallyport/internal/masterkey"
)

// MinNonce is the shortest nonce that is taken, and MaxNonce the longest, in bytes: fingerprints under one that is used
// again can be compared.
const (
	MinNonce = 16
	MaxNonce = 128
)

// CheckNonce refuses what is too short, or cannot be an argument or a line of a file.
func CheckNonce(nonce string) error {
	if len(nonce) < MinNonce || len(nonce) > MaxNonce {
		return fmt.Errorf("it has %d characters, want %d to %d", len(nonce), MinNonce, MaxNonce)
	}
	for _, r := range nonce {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("-_.=+/", r) {
			return errors.New("it has other characters than letters, digits and -_.=+/")
		}
	}
	if nonce[0] == '-' {
		return errors.New("it begins with a dash")
	}
	return nil
}

const hintChallenge = "make one with `sallyport key verify --new-challenge FILE`, and give the same file to every node"

// NewChallenge writes a fresh nonce to a new file, for nodes that cannot be asked from afar.
func NewChallenge(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a nonce is no secret, and goes to every node
	if err == nil {
		_, err = io.WriteString(f, masterkey.NewNonce()+"\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("writing a challenge: %w", err)
	}
	return nil
}

// ReadChallenge reads the nonce of a challenge.
func ReadChallenge(path string) (string, error) {
	content, err := readFile(path)
	if err != nil {
		return "", fault.WithHint(fmt.Errorf("reading a challenge: %w", err), hintChallenge)
	}
	nonce := strings.TrimSpace(string(content))
	if err := CheckNonce(nonce); err != nil {
		return "", fault.WithHint(fmt.Errorf("reading the challenge %q: %w", path, err), hintChallenge)
	}
	return nonce, nil
}

// readFile reads a small file.
func readFile(path string) ([]byte, error) {
	f, err := localfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, maxAnswer))
}

// Folder makes a node of each file NAME.json in a folder.
func Folder(path string) ([]Node, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("reading fingerprints: %w", err)
	}
	var all []Node
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if ok && isNodeName.MatchString(name) && !entry.IsDir() {
			all = append(all, Node{Name: name, Asker: file{filepath.Join(path, entry.Name())}})
		}
	}
	if len(all) == 0 {
		return nil, fault.WithHint(fmt.Errorf("reading fingerprints: there is no file NAME.json in %q", path),
			"write one on each node: sallyport key verify --local --nonce-file challenge --out NAME.json")
	}
	return all, nil
}

// file is what a node has written with --out.
type file struct{ path string }

func (file) Way() string { return "file" }

func (f file) Ask(_ context.Context, q Question) (masterkey.Local, error) {
	content, err := readFile(f.path)
	if err != nil {
		return masterkey.Local{}, fault.WithHint(err,
			"write it on the node: sallyport key verify --local --nonce-file challenge --out NAME.json")
	}
	l, err := Parse(content)
	if err == nil && q.Workflow != "" && l.Nonce == q.Nonce {
		err = fault.WithHint(errors.New("a file executes no workflow"), "leave --execute away")
	}
	return l, err
}

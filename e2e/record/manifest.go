package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// Manifest is what a recording holds. internal/testkit/recorded reads it.
type Manifest struct {
	Name    string `json:"name"`
	N8N     string `json:"n8n"`
	Dialect string `json:"dialect"`
	Prefix  string `json:"prefix,omitempty"`
	Schema  string `json:"schema,omitempty"`
	Master  string `json:"master"`
	Rotated bool   `json:"rotated"`
	Owner   Owner  `json:"owner"`
	Waiting string `json:"waiting"` // the id of the execution that waits
	Told
}

// Owner is who can sign in.
type Owner struct {
	Email         string   `json:"email"`
	Password      string   `json:"password"`
	MFASecret     string   `json:"mfaSecret"`
	RecoveryCodes []string `json:"recoveryCodes"`
}

// Told is what plant.cjs tells: the encrypted values in the clear.
type Told struct {
	Error       string       `json:"error,omitempty"`
	Values      []Value      `json:"values"`
	Credentials []Credential `json:"credentials"`
	APIKeys     []APIKey     `json:"apiKeys"`
	DataKeys    []DataKey    `json:"dataKeys"`
}

// Value is one encrypted value.
type Value struct {
	Table  string   `json:"table"`
	Column string   `json:"column"`
	Key    []string `json:"key"`
	Path   string   `json:"path"`
	Plain  string   `json:"plain"`
	By     string   `json:"by"` // "n8n" over its REST API, "cipher": its Cipher, called by plant.cjs
}

// Credential is a credential in the clear.
type Credential struct {
	ID   string         `json:"id"`
	Name string         `json:"name"`
	Type string         `json:"type"`
	Data map[string]any `json:"data"`
}

// APIKey is a key of the public API, which n8n keeps in the clear.
type APIKey struct {
	ID    string `json:"id"`
	Label string `json:"label"`
	Raw   string `json:"raw"`
}

// DataKey is a row of deployment_key in the clear.
type DataKey struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Algorithm string `json:"algorithm"`
	Status    string `json:"status"`
	Plain     string `json:"plain"`
}

// write packs both files. Nothing in them depends on the clock but what n8n has written.
func write(out string, m Manifest, database []byte) error {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	packed, errPacked := pack(database)
	manifest, errManifest := pack(text)
	return errors.Join(errPacked, errManifest, os.MkdirAll(out, 0o755),
		os.WriteFile(filepath.Join(out, m.Name+extension(m.Dialect)), packed, 0o644),
		os.WriteFile(filepath.Join(out, m.Name+".json.gz"), manifest, 0o644))
}

func extension(dialect string) string {
	if dialect == sqlite {
		return ".sqlite.gz"
	}
	return ".sql.gz"
}

func pack(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, errWrite := w.Write(raw)
	err = errors.Join(errWrite, w.Close())
	return b.Bytes(), err
}

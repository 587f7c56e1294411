// Package export reads what `n8n export:credentials --decrypted` writes.
//
// It knows the file's form and nothing of where the values go. n8n 1.123 and 2.41 write the same: a list of
// credentials, or with --separate one credential per file.
//
// Invariant: no error quotes the file.
package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// MaxSize is the size of the largest file that is read, in bytes.
const MaxSize = 64 << 20

// Credential is one credential of n8n.
type Credential struct {
	ID   string
	Name string       // as a person gave it; not unique
	Type string       // such as httpHeaderAuth
	Data secret.Value // its fields as one JSON object, keys sorted, without blanks
}

type record struct {
	ID   json.RawMessage `json:"id"` // text, a number in old versions
	Name string          `json:"name"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// Parse reads a file. Credentials without any data are left out.
func Parse(src []byte) ([]Credential, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("the file is larger than %d MiB", MaxSize>>20)
	}
	records, err := decode(src)
	if err != nil {
		return nil, err
	}
	var list []Credential
	for i, r := range records {
		c, err := r.credential()
		if err != nil {
			return nil, fmt.Errorf("credential %d of the file: %w", i+1, err)
		}
		if !c.Data.IsZero() {
			list = append(list, c)
		}
	}
	return list, nil
}

func decode(src []byte) (list []record, err error) {
	src = bytes.TrimSpace(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(src, []byte("{")) {
		list = make([]record, 1)
		err = json.Unmarshal(src, &list[0])
	} else {
		err = json.Unmarshal(src, &list)
	}
	if err != nil {
		return nil, fault.WithHint(errors.New("it is not what n8n exports: a JSON list of credentials"),
			"`n8n export:credentials --all --decrypted --output=FILE` writes it")
	}
	return list, nil
}

func (r record) credential() (Credential, error) {
	c := Credential{ID: strings.Trim(string(r.ID), `"`), Name: r.Name, Type: r.Type}
	data := bytes.TrimSpace(r.Data)
	switch {
	case c.Name == "" || c.Type == "":
		return Credential{}, errors.New("it has no name or no type")
	case bytes.HasPrefix(data, []byte(`"`)):
		return Credential{}, fault.WithHint(errors.New("its data is encrypted"),
			"export again with --decrypted, with the master key that n8n uses")
	case !bytes.HasPrefix(data, []byte("{")):
		return Credential{}, errors.New("it has no data")
	}
	var err error
	c.Data, err = canonical(data)
	return c, err
}

// canonical writes a JSON object always the same way, so that the same credential is the same secret.
func canonical(data []byte) (secret.Value, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		return secret.Value{}, errors.New("its data is not a JSON object")
	}
	if len(fields) == 0 {
		return secret.Value{}, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fields); err != nil {
		return secret.Value{}, errors.New("its data cannot be written as JSON")
	}
	return secret.NewValue(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

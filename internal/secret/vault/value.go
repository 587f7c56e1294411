package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"sallyport/internal/secret"
)

// A secret of Vault is a map. What Put is given becomes one of three:
//
//	{"username":"a","password":"b"}             the map itself, if the value is a JSON object that Vault keeps so
//	{"value":"…","encoding":"text"}             any other text
//	{"value":"/wA=","encoding":"base64"}        what is not UTF-8
//
// Get gives the text and the bytes back as they were, and every other map, whoever wrote it, as a JSON object with
// sorted keys and without white space. A map {"value":"…"} that a person wrote is such an object too: the reference
// says #value.
const (
	keyValue    = "value"
	keyEncoding = "encoding"
	asText      = "text"
	asBase64    = "base64"
)

// encode makes a map, ready for marshalling, of a value.
func encode(value []byte) (any, error) {
	if len(value) == 0 {
		return nil, errEmpty
	}
	if !utf8.Valid(value) {
		return map[string]string{keyValue: base64.StdEncoding.EncodeToString(value), keyEncoding: asBase64}, nil
	}
	if object, ok := natural(value); ok {
		return object, nil
	}
	return map[string]string{keyValue: string(value), keyEncoding: asText}, nil
}

// decode is the value of a map.
func decode(data map[string]any) ([]byte, error) {
	if value, ok := unmark(data); ok {
		return value, nil
	}
	return marshal(data)
}

// unmark returns what a map of ours stands for.
func unmark(data map[string]any) ([]byte, bool) {
	value, isText := data[keyValue].(string)
	if len(data) != 2 || !isText {
		return nil, false
	}
	switch data[keyEncoding] {
	case asText:
		return []byte(value), true
	case asBase64:
		b, err := base64.StdEncoding.Strict().DecodeString(value)
		return b, err == nil
	}
	return nil, false
}

// natural returns the JSON object that value is, unless Vault would change more of it than its layout: Vault keeps
// numbers as 64-bit floating point, and the last of two equal keys.
func natural(value []byte) (json.RawMessage, bool) {
	if trimmed := bytes.TrimLeft(value, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, false
	}
	var exact, kept map[string]any
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	if dec.Decode(&exact) != nil || json.Unmarshal(value, &kept) != nil || len(exact) == 0 || !distinctKeys(value) {
		return nil, false
	}
	if _, marked := unmark(exact); marked {
		return nil, false
	}
	object, err := marshal(exact)
	after, errAfter := marshal(kept)
	same := err == nil && errAfter == nil && bytes.Equal(object, after)
	// A lone surrogate is read as U+FFFD; whoever means that character is served by the text form as well.
	return object, same && !bytes.ContainsRune(object, utf8.RuneError)
}

// distinctKeys tells whether value is JSON in which no object has a key twice.
func distinctKeys(value []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	if !walk(dec) {
		return false
	}
	_, err := dec.Token()
	return errors.Is(err, io.EOF)
}

// walk reads one JSON value.
func walk(dec *json.Decoder) bool {
	token, err := dec.Token()
	if err != nil {
		return false
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return true
	}
	seen := make(map[string]bool)
	for dec.More() {
		if opening == '{' {
			key, err := dec.Token()
			name, isText := key.(string)
			if err != nil || !isText || seen[name] {
				return false
			}
			seen[name] = true
		}
		if !walk(dec) {
			return false
		}
	}
	_, err = dec.Token()
	return err == nil
}

// valueOf makes the value of an answer's map.
func valueOf(data map[string]any) (secret.Value, []byte, error) {
	b, err := decode(data)
	if err != nil {
		return secret.Value{}, nil, unavailable("vault's response is not understood", notVault)
	}
	return secret.NewValue(b), b, nil
}

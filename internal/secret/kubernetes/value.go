package kubernetes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// A Secret as a whole is a JSON object with its keys in order: text as a string, and bytes that are not UTF-8 in base64
// under the key's name with a mark behind it that no key can have:
//
//	{"password":"s3cret","keystore.jks:base64":"/u3+7Q=="}
//
// Put takes such an object and makes its members the keys of the Secret. Any other value becomes the one key "value" of
// a Secret with the annotation sallyport/form: value, and Get gives it back as it was, for as long as the Secret has
// that annotation and that key alone.
const (
	base64Mark = ":base64"
	keyValue   = "value"
	annotation = "sallyport/form"
	formValue  = "value"
)

// value is what stands at the location in a Secret.
func (p location) value(held *corev1.Secret) ([]byte, error) {
	if p.key == "" {
		return whole(held)
	}
	value, ok := held.Data[p.key]
	switch {
	case !ok:
		return nil, fault.WithHint(secret.ErrNotFound,
			"the Secret is there, and has no such key: `kubectl describe secret` names those it has")
	case len(value) == 0:
		return nil, fault.WithHint(secret.ErrNotFound, "the key is there, and empty")
	}
	return value, nil
}

// bare tells whether the Secret stands for a single value.
func bare(held *corev1.Secret) bool {
	return held.Annotations[annotation] == formValue && len(held.Data) == 1 && len(held.Data[keyValue]) > 0
}

func whole(held *corev1.Secret) ([]byte, error) {
	if bare(held) {
		return held.Data[keyValue], nil
	}
	members := make(map[string]string, len(held.Data))
	for key, value := range held.Data {
		if utf8.Valid(value) {
			members[key] = string(value)
		} else {
			members[key+base64Mark] = base64.StdEncoding.EncodeToString(value)
		}
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(members)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}

// put writes value into the Secret, at the location.
func (p location) put(held *corev1.Secret, value []byte) error {
	if len(value) == 0 {
		return errEmpty
	}
	if p.key != "" {
		held.Data = maps.Clone(held.Data)
		if held.Data == nil {
			held.Data = make(map[string][]byte)
		}
		held.Data[p.key] = value
		return nil
	}
	if members, ok := natural(value); ok {
		held.Data = members
		delete(held.Annotations, annotation)
		return nil
	}
	if len(held.Data) > 0 && !bare(held) {
		return errHasKeys
	}
	held.Data = map[string][]byte{keyValue: value}
	if held.Annotations == nil {
		held.Annotations = make(map[string]string)
	}
	held.Annotations[annotation] = formValue
	return nil
}

// natural returns the keys that value names, if it is a JSON object of strings from which whole would make the same.
func natural(value []byte) (map[string][]byte, bool) {
	members, ok := textMembers(value)
	if !ok || len(members) == 0 {
		return nil, false
	}
	data := make(map[string][]byte, len(members))
	for name, text := range members {
		key, marked := strings.CutSuffix(name, base64Mark)
		if len(validation.IsConfigMapKey(key)) > 0 {
			return nil, false
		}
		if _, twice := data[key]; twice {
			return nil, false
		}
		data[key] = []byte(text)
		if marked {
			b, err := base64.StdEncoding.Strict().DecodeString(text)
			if err != nil || utf8.Valid(b) {
				return nil, false
			}
			data[key] = b
		}
	}
	return data, true
}

// textMembers reads a JSON object of strings in which no key stands twice, and nothing after it.
func textMembers(value []byte) (map[string]string, bool) {
	if !utf8.Valid(value) {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	if opening, err := dec.Token(); err != nil || opening != json.Delim('{') {
		return nil, false
	}
	members := make(map[string]string)
	for dec.More() {
		name, errName := dec.Token()
		text, errText := dec.Token()
		key, isKey := name.(string)
		member, isText := text.(string)
		_, twice := members[key]
		// A lone surrogate is read as U+FFFD; whoever means that character is served by the other form as well.
		if errName != nil || errText != nil || !isKey || !isText || twice ||
			strings.ContainsRune(member, utf8.RuneError) {
			return nil, false
		}
		members[key] = member
	}
	_, errClosing := dec.Token()
	_, errEnd := dec.Token()
	return members, errClosing == nil && errors.Is(errEnd, io.EOF)
}

package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"sallyport/internal/fault"
	"sallyport/internal/jsonpointer"
	"sallyport/internal/secret"
)

// PendingSuffix ends the path of a pending version. Stores have no versions in common that are there and not current,
// so it stands beside the secret, under a name that every kind of store takes.
const PendingSuffix = "-pending"

// Stored is a secret in a store that can be written to.
type Stored struct {
	Store secret.Store // a secret.Writer, and where two may write at once a secret.CheckAndSetter
	Ref   secret.Ref   // without a version
	// is called once another version is current, and tells the replicas; may be nil
	Change func(ctx context.Context) error
}

// pending is what stands at the path of a pending version.
type pending struct {
	Run   string `json:"run"`
	Value []byte `json:"value"`
}

func (s *Stored) path() string { return s.Ref.Path + PendingSuffix }

func (s *Stored) writer() (secret.Writer, error) {
	w, ok := s.Store.(secret.Writer)
	if !ok {
		return nil, fault.WithHint(fmt.Errorf("the store %q cannot be written to", s.Ref.Store),
			"keep the secret in a store of a kind that can, such as builtin or vault")
	}
	return w, nil
}

// Current implements Secret.
func (s *Stored) Current(ctx context.Context) (secret.Value, string, error) {
	value, version, err := s.Store.Get(ctx, s.Ref.Path, "")
	if err != nil {
		return secret.Value{}, "", err
	}
	if s.Ref.Field != "" {
		value, err = secret.Field(value, s.Ref.Field)
	}
	return value, version.ID, err
}

// Stage implements Secret.
func (s *Stored) Stage(ctx context.Context, run string, value secret.Value) error {
	if there, err := s.Staged(ctx, run); err == nil && there.Equal(value) {
		return nil
	}
	w, err := s.writer()
	if err != nil {
		return err
	}
	text, err := json.Marshal(pending{run, value.Reveal()})
	if err != nil {
		return errors.New("encoding the pending version")
	}
	_, err = w.Put(ctx, s.path(), secret.NewValue(text))
	return err
}

// Staged implements Secret.
func (s *Stored) Staged(ctx context.Context, run string) (secret.Value, error) {
	text, _, err := s.Store.Get(ctx, s.path(), "")
	if err != nil {
		return secret.Value{}, err
	}
	var p pending
	if json.Unmarshal(text.Reveal(), &p) != nil || p.Run != run {
		return secret.Value{}, fmt.Errorf("reading %q: it is not the pending version of run %s: %w", s.path(), run,
			secret.ErrNotFound)
	}
	return secret.NewValue(p.Value), nil
}

// Discard implements Secret.
func (s *Stored) Discard(ctx context.Context, run string) error {
	_, err := s.Staged(ctx, run)
	if errors.Is(err, secret.ErrNotFound) {
		return nil // or it is another run's
	}
	if err != nil {
		return err
	}
	w, err := s.writer()
	if err == nil {
		err = w.Delete(ctx, s.path())
	}
	if errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	return err
}

// Promote implements Secret.
func (s *Stored) Promote(ctx context.Context, value secret.Value, expected string) (string, error) {
	version, err := s.promote(ctx, value, expected)
	if err == nil && s.Change != nil {
		err = s.Change(ctx)
	}
	return version, err
}

func (s *Stored) promote(ctx context.Context, value secret.Value, expected string) (string, error) {
	whole, is, err := s.Store.Get(ctx, s.Ref.Path, "")
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return "", err
	}
	next := value
	if s.Ref.Field != "" {
		if next, err = withField(whole, s.Ref.Field, value); err != nil {
			return "", err
		}
		if old, err := secret.Field(whole, s.Ref.Field); err == nil && old.Same(value) {
			return is.ID, nil
		}
	} else if whole.Same(value) {
		return is.ID, nil
	}
	if is.ID != expected {
		return "", fmt.Errorf("the current version is %q, and %q was expected: %w", is.ID, expected, secret.ErrConflict)
	}
	var written secret.Version
	if cas, ok := s.Store.(secret.CheckAndSetter); ok {
		written, err = cas.PutIf(ctx, s.Ref.Path, next, expected)
		return written.ID, err
	}
	w, err := s.writer()
	if err != nil {
		return "", err
	}
	written, err = w.Put(ctx, s.Ref.Path, next)
	return written.ID, err
}

// Within is whole with value in the place of s, as it will be once value is current. field is the one of whole that is
// asked for; "" is all of it.
func (s *Stored) Within(whole, value secret.Value, field string) (secret.Value, error) {
	switch s.Ref.Field {
	case field:
		return value, nil
	case "":
		return secret.Field(value, field)
	}
	return withField(whole, s.Ref.Field, value)
}

// withField is a JSON object with another value in one field. No error quotes it.
func withField(whole secret.Value, name string, value secret.Value) (secret.Value, error) {
	if !utf8.Valid(value.Reveal()) {
		return secret.Value{}, fmt.Errorf("the new value is not UTF-8, so it cannot stand in the field %q", name)
	}
	pointer := jsonpointer.Pointer{name}
	if name[0] == '/' {
		var err error
		if pointer, err = jsonpointer.Parse(name); err != nil {
			return secret.Value{}, fmt.Errorf("the field %q %w", name, err)
		}
	}
	doc := make(map[string]any)
	if !whole.IsZero() {
		if err := decode(whole.Reveal(), &doc); err != nil || doc == nil {
			return secret.Value{}, fmt.Errorf("a field %q is to be written, but the value is not a JSON object", name)
		}
	}
	at := doc
	for _, key := range pointer[:len(pointer)-1] {
		inner, ok := at[key].(map[string]any)
		if !ok {
			return secret.Value{}, fmt.Errorf("the value has no object that holds the field %q", name)
		}
		at = inner
	}
	at[pointer[len(pointer)-1]] = string(value.Reveal())
	text, err := json.Marshal(doc)
	if err != nil {
		return secret.Value{}, fmt.Errorf("writing the field %q", name)
	}
	return secret.NewValue(text), nil
}

// decode keeps numbers as they are written.
func decode(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

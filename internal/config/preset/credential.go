package preset

import (
	"fmt"

	"github.com/goccy/go-yaml"
)

// Credential is where the secret goes, and how a token is obtained: what a service's credential of the kind has,
// without the secret. URLs may begin with a slash, for a path of the upstream's host. What keys there are, the kinds
// say; package config reads them as it reads a service's.
type Credential struct {
	Kind string
	Is   string         // one of several: what the secret is
	Keys map[string]any // the other keys, as YAML has them: maps, lists, strings, numbers, true and false
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (c *Credential) UnmarshalYAML(decode func(any) error) error {
	if err := decode(&c.Keys); err != nil {
		return err
	}
	c.Kind, c.Is = c.take("kind"), c.take("is")
	return nil
}

var _ yaml.InterfaceUnmarshaler = (*Credential)(nil)

func (c *Credential) take(key string) string {
	text := c.Text(key)
	delete(c.Keys, key)
	return text
}

// Text returns the text at a key, or at a key within one; "" where there is none.
func (c Credential) Text(path ...string) string { return textAt(c.Keys, path) }

func textAt(keys map[string]any, path []string) string {
	value := keys[path[0]]
	if inner, ok := value.(map[string]any); ok && len(path) > 1 {
		return textAt(inner, path[1:])
	}
	if value == nil || len(path) > 1 {
		return ""
	}
	return fmt.Sprint(value)
}

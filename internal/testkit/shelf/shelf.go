// Package shelf is a kind of store that only tests have: the value of each path is the store's label and the path. It
// stands for a kind that a test adds.
package shelf

import (
	"context"
	"strings"

	"sallyport/internal/secret"
)

// Kind is the kind shelf.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "shelf", Summary: "A shelf of made-up secrets.", Page: "# Shelf\n\nFor tests.\n",
		Settings: func() secret.Settings { return new(Settings) },
		Withhold: []string{"SHELF_KEY"},
	}
}

// Settings are the keys of a store of kind shelf.
type Settings struct {
	Label string `yaml:"label" eg:"top" needed:"write label: TEXT" doc:"What each value begins with."`
	Board *Board `yaml:"board" doc:"Where the shelf is."`
}

// Board is the key board.
type Board struct {
	Height int `yaml:"height" default:"2" min:"1" max:"9" doc:"How high it is."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	if strings.Contains(s.Label, "/") {
		r.Fail("label", "has a slash in it", "leave it out")
	}
}

// Files implements secret.Settings.
func (*Settings) Files() []string { return nil }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	return store{s.Label}, nil
}

type store struct{ label string }

// Get implements secret.Store.
func (s store) Get(_ context.Context, path, _ string) (secret.Value, secret.Version, error) {
	return secret.NewValue([]byte(s.label + "/" + path)), secret.Version{ID: "1", Current: true}, nil
}

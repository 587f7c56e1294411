package env_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/env"
	"sallyport/internal/secret/storetest"
)

// seeded starts again, so to say, with another variable.
type seeded struct {
	*env.Store
	environ []string
}

func (s *seeded) Seed(_ context.Context, path string, value []byte) (err error) {
	s.environ = append(slices.DeleteFunc(s.environ, func(e string) bool {
		return strings.HasPrefix(e, "T_"+path+"=")
	}), "T_"+path+"="+string(value))
	s.Store, err = env.New(env.Options{Prefix: "T_", Environ: s.environ})
	return err
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) secret.Store {
		s := new(seeded)
		if err := s.Seed(t.Context(), "other", []byte("x")); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func open(t *testing.T, prefix string, environ ...string) *env.Store {
	t.Helper()
	store, err := env.New(env.Options{Prefix: prefix, Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestGet(t *testing.T) {
	environ := []string{
		"APP_KEY=a=b\n", "APP_KEY=second", "APP_EMPTY=", "APP_=bare", "KEY=other", "PATH=/bin",
		"junk", "=C:=C:\\",
	}
	for _, c := range []struct{ prefix, path, want string }{
		{"APP_", "KEY", "a=b\n"}, {"", "APP_KEY", "a=b\n"}, {"", "KEY", "other"}, {"APP", "_KEY", "a=b\n"}, {"", "PATH", "/bin"},
	} {
		value, v, err := open(t, c.prefix, environ...).Get(t.Context(), c.path, "")
		if err != nil || string(value.Reveal()) != c.want || v.ID != "1" || !v.Current || v.Created.IsZero() {
			t.Errorf("prefix %q path %q: got %q, %+v, %v", c.prefix, c.path, value.Reveal(), v, err)
		}
	}
	for _, c := range []struct {
		prefix, path, version string
		want                  error
		text                  string
	}{
		{"APP_", "NONE", "", secret.ErrNotFound, "APP_NONE"},
		{"APP_", "EMPTY", "", secret.ErrNotFound, "was empty"},
		{"APP_", "PATH", "", secret.ErrNotFound, "APP_PATH was not set"},
		{"APP_", "APP_KEY", "", secret.ErrNotFound, "leave the prefix APP_ out of the path"},
		{"APP_", "", "", secret.ErrNotFound, "ref+env://"},
		{"", "junk", "", secret.ErrNotFound, ""},
		{"", "key", "", secret.ErrNotFound, ""},
		{"APP_", "KEY", "2", secret.ErrVersionGone, "?version="},
	} {
		_, _, err := open(t, c.prefix, environ...).Get(t.Context(), c.path, c.version)
		if text := fmt.Sprint(err) + fault.HintOf(err); !errors.Is(err, c.want) || fault.HintOf(err) == "" ||
			!strings.Contains(text, c.text) || strings.Contains(text, "other") {
			t.Errorf("prefix %q path %q: got %v, hint %q", c.prefix, c.path, err, fault.HintOf(err))
		}
	}
}

// TestValuesAreTakenAtTheStart: nothing that happens to the process's environment later is seen.
func TestValuesAreTakenAtTheStart(t *testing.T) {
	environ := []string{"KEY=before"}
	store := open(t, "", environ...)
	environ[0] = "KEY=after"
	t.Setenv("KEY", "after")
	if value, _, err := store.Get(t.Context(), "KEY", "1"); err != nil || string(value.Reveal()) != "before" {
		t.Errorf("got %q, %v", value.Reveal(), err)
	}
}

func TestNewRefusesAPrefix(t *testing.T) {
	for _, prefix := range []string{"A=", "A\x00"} {
		if _, err := env.New(env.Options{Prefix: prefix}); err == nil || fault.HintOf(err) == "" {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
}

var _ secret.Store = (*env.Store)(nil)

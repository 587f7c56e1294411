package driver_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sallyport/internal/driver"
	"sallyport/internal/driver/drivertest"
	"sallyport/internal/secret"
)

// TestUsers: of two users the one that is not current is next, and of one there is no other.
func TestUsers(t *testing.T) {
	value := func(text string) secret.Value { return secret.NewValue([]byte(text)) }
	two := driver.Users{Names: []string{"a", "b"}}
	one := driver.Users{Names: []string{"a"}}
	for _, c := range []struct {
		users        driver.Users
		current      secret.Value
		next, active string
	}{
		{two, secret.Value{}, "a", ""},
		{two, value(`{"user": "a", "password": "x"}`), "b", "a"},
		{two, value(`{"user": "b", "password": "x"}`), "a", "b"},
		{two, value(`{"user": "of another", "password": "x"}`), "a", "of another"},
		{two, value("x"), "", ""},
		{one, value("x"), "a", "a"},
		{one, secret.Value{}, "a", ""},
	} {
		next, err := c.users.Next(c.current)
		if (err != nil) != (c.next == "") || err == nil && next != c.next {
			t.Errorf("%v: next is %q (%v), want %q", c.users.Names, next, err, c.next)
		}
		if got := c.users.Current(driver.Job{Current: c.current}).User; got != c.active {
			t.Errorf("%v: current is %q, want %q", c.users.Names, got, c.active)
		}
	}
}

// named are settings that have a name.
type named struct {
	driver.Settings
	name   string
	needed bool
}

func (n named) Check(r secret.Report) {
	driver.Naming{Most: 5, Of: "characters", Length: utf8.RuneCountInString}.Check(r, "name", n.needed, n.name)
}

// TestNaming: what a server would not take for a name is said.
func TestNaming(t *testing.T) {
	for name, want := range map[string]string{
		"":                     "empty",
		"äöüäö":                "",
		strings.Repeat("ä", 6): "more than 5 characters",
		"a\nb":                 "control",
		"a\x7f":                "control",
		"a\xff":                "UTF-8",
		"a b'":                 "",
	} {
		got := drivertest.Check(named{name: name, needed: true}).Failed["name"]
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := drivertest.Check(named{}).Failed; len(got) > 0 {
		t.Errorf("a name that may be left out: %v", got)
	}
}

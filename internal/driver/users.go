package driver

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Users are the users of a server of whom one is current: two that take turns, or one. Account says how their logins
// stand in the secret's value.
type Users struct {
	Account Account
	Names   []string
}

// Turns tells whether there are two.
func (u Users) Turns() bool { return len(u.Names) == 2 }

// Next is the user that gets the next password: of two the one that the current value does not log in as.
func (u Users) Next(current secret.Value) (string, error) {
	if !u.Turns() || current.IsZero() {
		return u.Names[0], nil
	}
	login, err := u.Account.Read(current, u.Names)
	if err == nil && login.User == u.Names[0] {
		return u.Names[1], nil
	}
	return u.Names[0], err
}

// Login is what a value logs in with. Where the value has no user it is the one that there is.
func (u Users) Login(value secret.Value) (Login, error) {
	login, err := u.Account.Read(value, u.Names)
	if err == nil && login.User == "" {
		login.User = u.Names[0]
	}
	return login, err
}

// Current is the login of the store's current value. Its user is "" if there is none, or none that can be read.
func (u Users) Current(job Job) Login {
	if job.Current.IsZero() {
		return Login{}
	}
	login, err := u.Login(job.Current)
	if err != nil {
		return Login{}
	}
	return login
}

// Has tells whether name is one of the users.
func (u Users) Has(name string) bool { return slices.Contains(u.Names, name) }

// CheckUsers reports what is wrong with users and with the administrator who sets their passwords.
func CheckUsers(r secret.Report, users []string, admin string) {
	if n := len(users); n > 2 || n == 2 && users[0] == users[1] {
		r.Fail("users", "are not one user or two", "write users: [crm_a, crm_b]")
	}
	if admin != "" && slices.Contains(users, admin) {
		r.Fail("admin_user", "is one of users", "take another user for it")
	}
}

// WarnOfOne warns of one user who has one password. beside ends the hint.
func WarnOfOne(r secret.Report, users []string, beside string) {
	if len(users) == 1 {
		r.Warn("users", "is one user: from the moment its password is replaced until every consumer has the new one, "+
			"new connections with the old one fail", "name two users that take turns"+beside)
	}
}

// CheckAdmin reports that one of the administrator's two keys is there without the other.
func CheckAdmin(r secret.Report, user string, password secret.Ref) {
	if (user == "") != (password == secret.Ref{}) {
		r.Fail("admin_password", "and admin_user go together", "write both or none")
	}
}

// Naming is what a server takes for a name.
type Naming struct {
	Most   int              // the longest one
	Length func(string) int // in what the server counts in
	Of     string           // what that is, in words
}

// Check reports a name under key that the server would not take. "" is none, unless it is needed.
func (n Naming) Check(r secret.Report, key string, needed bool, names ...string) {
	for _, name := range names {
		if err := n.refuses(name); err != nil && (name != "" || needed) {
			r.Fail(key, "has a name that "+err.Error(), "write the name as the server has it, without quotes")
		}
	}
}

func (n Naming) refuses(name string) error {
	switch {
	case name == "":
		return errors.New("is empty")
	case n.Length(name) > n.Most:
		return fmt.Errorf("has more than %d %s", n.Most, n.Of)
	case strings.ToValidUTF8(name, "") != name:
		return errors.New("is no UTF-8")
	case strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return errors.New("has control characters")
	}
	return nil
}

// NotCurrent is the refusal to end what the store's current value logs in with.
func NotCurrent(what string) error {
	return fault.WithHint(fmt.Errorf("%w: the store's current value logs in as %q, so that is not ended", ErrRefused,
		what), "put the value that is to be current into the store, then go on")
}

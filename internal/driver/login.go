package driver

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// Login is a user with its password.
type Login struct {
	User     string // "": the secret's value does not say
	Password secret.Value
}

// Account is embedded by the settings of drivers that give users passwords: what a password looks like, and how a login
// stands in the value of the secret.
type Account struct {
	Length   int    `yaml:"length" default:"40" min:"1" max:"4096" doc:"How many characters a password has."`
	Alphabet string `yaml:"alphabet" default:"alphanumeric" doc:"alphanumeric, base64url, digits, hex, lower (with digits) or printable, or the characters themselves, of ASCII."`
	Template string `yaml:"template" eg:"postgres://{user}:{password}@db.internal/crm" doc:"The secret's value, with {user} and {password} in their places: JSON, a URL, or other text. By default JSON with the fields user and password where the user changes, and the password alone where it does not."`
}

const (
	userMark     = "{user}"
	passwordMark = "{password}"
)

// CheckAccount reports what is wrong with the account of so many users.
func (a Account) CheckAccount(r secret.Report, users int) {
	a.pattern().Check(r)
	if strings.ContainsFunc(a.Alphabet, func(c rune) bool { return c < ' ' || c > '~' }) {
		r.Fail("alphabet", "has characters beyond printable ASCII, which servers and clients encode in different ways",
			"write alphanumeric, or characters of ASCII")
	}
	if _, err := a.form(users); err != nil {
		r.Fail("template", err.Error(), `write it as {"user": "{user}", "password": "{password}"}, as `+
			`postgres://{user}:{password}@host/name, or as {password}`)
	}
}

func (a Account) pattern() Pattern { return Pattern{Length: a.Length, Alphabet: a.Alphabet} }

// MakeUp makes up a password for user, who is one of so many, and returns it as the secret's value.
func (a Account) MakeUp(user string, users int) (secret.Value, error) {
	f, err := a.form(users)
	if err != nil {
		return secret.Value{}, err
	}
	password, err := a.pattern().Generate()
	if err != nil {
		return secret.Value{}, err
	}
	return f.write(user, string(password.Reveal())), nil
}

// Read finds the login in a value. users are those that the configuration names; a value may have another.
func (a Account) Read(value secret.Value, users []string) (Login, error) {
	f, err := a.form(len(users))
	if err != nil {
		return Login{}, err
	}
	login, ok := f.read(value, users)
	if !ok || login.Password.IsZero() || f.hasUser() && login.User == "" {
		return Login{}, fault.WithHint(errors.New("the secret's value does not have the form of `template`"),
			"put the login into the store in that form once; from then on rotations keep it")
	}
	return login, nil
}

// form is how a login stands in a value.
type form struct {
	text           string
	url            bool
	user, password string // JSON pointers; "": it is not JSON, or has no user
}

func (a Account) form(users int) (form, error) {
	text := a.Template
	if text == "" {
		if text = passwordMark; users > 1 {
			text = `{"user": "{user}", "password": "{password}"}`
		}
	}
	f := form{text: text, url: strings.Contains(text, "://") && !strings.HasPrefix(text, `{"`)}
	switch {
	case strings.Count(text, passwordMark) != 1 || strings.Count(text, userMark) > 1:
		return f, errors.New("does not have {password} once, and {user} once at the most")
	case users > 1 && !f.hasUser():
		return f, errors.New("does not have {user}: with two users the value has to say which of them it is")
	case f.url:
		login, ok := f.read(f.write("u", "p"), nil)
		if !ok || string(login.Password.Reveal()) != "p" || f.hasUser() != (login.User == "u") {
			return f, errors.New("is a URL whose user and password do not stand before the @")
		}
	case strings.HasPrefix(text, `{"`):
		return f, f.readJSON()
	}
	return f, nil
}

func (f *form) hasUser() bool { return strings.Contains(f.text, userMark) }

// readJSON finds the places in a JSON object.
func (f *form) readJSON() error {
	var doc map[string]any
	if json.Unmarshal([]byte(f.text), &doc) != nil {
		return errors.New("begins as a JSON object and is none")
	}
	f.find(doc, "")
	if f.password == "" || f.hasUser() != (f.user != "") {
		return errors.New("is JSON in which {user} and {password} are not each a whole string")
	}
	return nil
}

func (f *form) find(at any, pointer string) {
	switch at := at.(type) {
	case map[string]any:
		for key, inner := range at {
			f.find(inner, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
		}
	case []any:
		for i, inner := range at {
			f.find(inner, pointer+"/"+strconv.Itoa(i))
		}
	case string:
		switch at {
		case userMark:
			f.user = pointer
		case passwordMark:
			f.password = pointer
		}
	}
}

// write puts a login into the form.
func (f *form) write(user, password string) secret.Value {
	escape := func(s string) string { return s }
	switch {
	case f.url:
		escape = escapeURL
	case f.password != "":
		escape = escapeJSON
	}
	return secret.NewValue([]byte(strings.NewReplacer(userMark, escape(user), passwordMark, escape(password)).
		Replace(f.text)))
}

// escapeURL leaves the characters alone that mean the same anywhere in a URL (RFC 3986, section 2.3).
func escapeURL(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func escapeJSON(s string) string {
	text, _ := json.Marshal(s) //nolint:errchkjson // a string has an encoding
	return string(text[1 : len(text)-1])
}

// read is the inverse of write. In JSON and in a URL it looks at the login alone, and takes any user.
func (f *form) read(value secret.Value, users []string) (login Login, ok bool) {
	switch {
	case f.url:
		u, err := url.Parse(string(value.Reveal()))
		if err != nil {
			return login, false
		}
		password, ok := u.User.Password()
		return Login{u.User.Username(), secret.NewValue([]byte(password))}, ok
	case f.password != "":
		password, err := secret.Field(value, f.password)
		if err != nil {
			return login, false
		}
		if f.user != "" {
			user, err := secret.Field(value, f.user)
			if err != nil {
				return login, false
			}
			login.User = string(user.Reveal())
		}
		login.Password = password
		return login, true
	}
	return f.readText(value, users)
}

// readText wants the text around the login as it stands in the template.
func (f *form) readText(value secret.Value, users []string) (login Login, ok bool) {
	if !f.hasUser() {
		users = []string{""}
	}
	users = slices.SortedFunc(slices.Values(users), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, user := range users {
		before, after, _ := strings.Cut(strings.Replace(f.text, userMark, user, 1), passwordMark)
		rest, begins := strings.CutPrefix(string(value.Reveal()), before)
		password, ends := strings.CutSuffix(rest, after)
		if begins && ends {
			return Login{user, secret.NewValue([]byte(password))}, true
		}
	}
	return login, false
}

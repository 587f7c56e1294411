package driver_test

import (
	"strings"
	"testing"

	"sallyport/internal/driver"
	"sallyport/internal/secret"
)

// awkward are a user and a password of every character that means something to JSON, to a URL or to SQL.
const awkward = `a'b"c\d:e@f/g?h#i%j&k=l+m{n}o~p`

// TestAccount: a login is found again in the value that it was written into, whatever its form.
func TestAccount(t *testing.T) {
	for _, template := range []string{
		"", `{"user": "{user}", "password": "{password}", "port": 5432}`,
		`{"db": [{"a/b~": "{user}"}, {"pw": "{password}"}]}`, "postgres://{user}:{password}@db.internal/crm?sslmode=require",
		"{user}:{password}@tcp(db.internal:3306)/crm", "user={user} password={password}",
	} {
		a := driver.Account{Template: template, Alphabet: "printable"}
		r := &report{wrong: map[string]string{}}
		if a.CheckAccount(r, 2); len(r.wrong) > 0 {
			t.Errorf("%q: %v", template, r.wrong)
		}
		users := []string{awkward, awkward + "-2", "crm"}
		for _, user := range users {
			value, err := a.MakeUp(user, 2)
			if err != nil {
				t.Fatal(err)
			}
			login, err := a.Read(value, users)
			if err != nil || login.User != user || login.Password.Len() != 40 {
				t.Errorf("%q: got user %q with %d characters (%v)", template, login.User, login.Password.Len(), err)
			}
		}
	}
	one, err := driver.Account{}.MakeUp("crm", 1)
	if err != nil || one.Len() != 40 {
		t.Errorf("one user: got %d characters (%v), want the password alone", one.Len(), err)
	}
	if login, err := (driver.Account{}).Read(one, []string{"crm"}); err != nil || login.User != "" ||
		!login.Password.Equal(one) {
		t.Errorf("one user: got %q, %v", login.User, err)
	}
}

// TestAccountByHand: a value that a person wrote may be spelled otherwise, and have a user of its own.
func TestAccountByHand(t *testing.T) {
	for template, value := range map[string]string{
		"": `{ "extra": 1, "password": "pa\u0073s", "user": "ann" }`,
		"postgres://{user}:{password}@db.internal/crm": "postgresql://ann:pas%73@other:5433/crm",
	} {
		login, err := driver.Account{Template: template}.Read(secret.NewValue([]byte(value)), []string{"a", "b"})
		if err != nil || login.User != "ann" || string(login.Password.Reveal()) != "pass" {
			t.Errorf("%q: got user %q, %v", template, login.User, err)
		}
	}
	for _, template := range []string{"", "postgres://{user}:{password}@db/crm", "{user}:{password}@tcp(db)/crm"} {
		for _, value := range []string{"canary-7f", "canary://7f", `{"canary": "7f"}`, "postgres://%zz:canary@db", "", "a:@tcp(db)/crm"} {
			_, err := driver.Account{Template: template}.Read(secret.NewValue([]byte(value)), []string{"a", "b"})
			if err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%q: %q was read: %v", template, value, err)
			}
		}
	}
}

// TestAccountRefused: a form from which a login cannot be read again is refused.
func TestAccountRefused(t *testing.T) {
	for _, template := range []string{
		"{user}", "{password}{password}", "{user}{user}{password}", "{password}", `{"user": "{user}", "pw": "x{password}"}`,
		`{"user": "{user}", "password": "{password}"`, "https://db/?user={user}&password={password}",
	} {
		r := &report{wrong: map[string]string{}}
		if (driver.Account{Template: template}).CheckAccount(r, 2); r.wrong["template"] == "" {
			t.Errorf("%q was taken", template)
		}
	}
	r := &report{wrong: map[string]string{}}
	if (driver.Account{Alphabet: "abcdefghijklmnöp"}).CheckAccount(r, 1); r.wrong["alphabet"] == "" {
		t.Error("an alphabet beyond ASCII was taken")
	}
}

// TestEncryption: what is not encrypted is warned of where others may listen.
func TestEncryption(t *testing.T) {
	for address, warned := range map[string]bool{
		"/run/postgresql": false, "localhost:5432": false, "127.0.0.1": false, "db.internal": true, "10.0.0.1:5432": true,
	} {
		r := &report{wrong: map[string]string{}}
		e := driver.Encryption{TLS: driver.TLSOff}
		if e.CheckEncryption(r, "address", address); (r.warned["tls"] != "") != warned {
			t.Errorf("%s: %v", address, r.warned)
		}
		if config, err := e.Config("x"); config != nil || err != nil {
			t.Errorf("off: got %v, %v", config, err)
		}
	}
	config, err := driver.Encryption{ServerName: "db.internal"}.Config("10.0.0.1")
	if err != nil || config.ServerName != "db.internal" || config.InsecureSkipVerify {
		t.Errorf("got %v, %v", config, err)
	}
	if _, err := (driver.Encryption{CAFile: "/nowhere"}).Config("x"); err == nil {
		t.Error("a file that is not there was trusted")
	}
}

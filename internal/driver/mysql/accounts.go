package mysql

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/driver"
	"sallyport/internal/fault"
)

// account is what the server knows of a user.
type account struct {
	user   string
	locked bool
	plugin string
	hash   string // of its password
	second string // of the one that MySQL retains; "": none
}

// read reads an account. nil: there is none.
func (s *session) read(ctx context.Context, user string) (*account, error) {
	query := `SELECT account_locked = 'Y', plugin, coalesce(authentication_string, ''),
			coalesce(json_unquote(json_extract(User_attributes, '$.additional_password')), '')
		FROM mysql.user WHERE User = ? AND Host = ?`
	if !s.my {
		query = `SELECT coalesce(json_value(Priv, '$.account_locked'), '0') IN ('1', 'true'),
			coalesce(json_value(Priv, '$.plugin'), ''), coalesce(json_value(Priv, '$.authentication_string'), ''), ''
		FROM mysql.global_priv WHERE User = ? AND Host = ?`
	}
	a := &account{user: user}
	err := s.conn.QueryRowContext(ctx, query, user, s.d.s.From).Scan(&a.locked, &a.plugin, &a.hash, &a.second)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, s.d.explain(err)
	}
	return a, nil
}

// want reads an account that has to be there.
func (s *session) want(ctx context.Context, user string) (*account, error) {
	a, err := s.read(ctx, user)
	if err == nil && a == nil {
		name := quoteAccount(user, s.d.s.From)
		err = fault.WithHint(fmt.Errorf("%w: there is no account %s", driver.ErrRefused, name),
			"as root: CREATE USER "+name+" ACCOUNT LOCK, with the privileges of the other one; `from` is the part "+
				"after the @")
	}
	return a, err
}

// alter changes an account: its password's hash, which stands in the statement as the server takes it, and what more
// says.
func (s *session) alter(ctx context.Context, a *account, hash, more string) error {
	literal := "'" + hash + "'"
	if strings.ContainsFunc(hash, func(c rune) bool { return c < ' ' || c > '~' || c == '\'' || c == '\\' }) {
		literal = "0x" + hex.EncodeToString([]byte(hash)) // one that MySQL made has bytes of any kind
	}
	return s.exec(ctx, "ALTER USER "+quoteAccount(a.user, s.d.s.From)+" IDENTIFIED WITH "+a.plugin+" AS "+literal+more)
}

// discard takes the password away that MySQL retains.
func (s *session) discard(ctx context.Context, user string) error {
	return s.exec(ctx, "ALTER USER "+quoteAccount(user, s.d.s.From)+" DISCARD OLD PASSWORD")
}

// hashed are the parts of a grant that show a password's hash.
var hashed = regexp.MustCompile(` IDENTIFIED (BY PASSWORD|VIA|WITH) .*?( REQUIRE| WITH GRANT| WITH MAX|$)`)

// privileges are the grants of an account, without its name.
func (s *session) privileges(ctx context.Context, user string) (list []string, err error) {
	name := quoteAccount(user, s.d.s.From)
	list, err = s.strings(ctx, "SHOW GRANTS FOR "+name)
	for i, one := range list {
		one = strings.NewReplacer(" TO "+name, " TO the user", " FOR "+name, " FOR the user").Replace(one)
		list[i] = hashed.ReplaceAllString(one, "$2")
	}
	if err != nil || !s.my {
		return list, err
	}
	roles, err := s.strings(ctx, `SELECT concat('the default role ', DEFAULT_ROLE_USER, '@', DEFAULT_ROLE_HOST)
		FROM mysql.default_roles WHERE USER = ? AND HOST = ?`, user, s.d.s.From)
	return append(list, roles...), err
}

func (s *session) strings(ctx context.Context, query string, args ...any) (list []string, err error) {
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.d.explain(err)
	}
	defer rows.Close() //nolint:errcheck // read only
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, s.d.explain(err)
		}
		list = append(list, one)
	}
	return list, s.d.explain(rows.Err())
}

const maxNamed = 10

// compare refuses a user that could not take the active one's place.
func (s *session) compare(ctx context.Context, active, user string) error {
	if a, err := s.read(ctx, active); err != nil || a == nil {
		return err // nothing to compare with
	}
	can, err := s.privileges(ctx, active)
	if err != nil {
		return err
	}
	could, err := s.privileges(ctx, user)
	if err != nil {
		return err
	}
	lacks := slices.DeleteFunc(can, func(one string) bool { return slices.Contains(could, one) })
	if len(lacks) == 0 {
		return nil
	}
	return fault.WithHint(fmt.Errorf("%w: %q could not do what %q does: it lacks %s", driver.ErrRefused, user, active,
		strings.Join(lacks[:min(len(lacks), maxNamed)], "; ")), "give the same to both, best by a role")
}

// process is a grant with the right to see the sessions of others.
var process = regexp.MustCompile(`^GRANT (.*, )?(PROCESS|ALL PRIVILEGES)(,.*)? ON \*\.\* `)

// sessionsOf are the hosts from which a user is logged in. Without the right to see them the server would show none.
func (s *session) sessionsOf(ctx context.Context, user string) (hosts []string, err error) {
	rights, err := s.strings(ctx, "SHOW GRANTS")
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(rights, process.MatchString) {
		return nil, fault.WithHint(fmt.Errorf("%w: looking for sessions of %q needs the privilege PROCESS",
			driver.ErrRefused, user), s.d.grants())
	}
	return s.strings(ctx, `SELECT DISTINCT substring_index(HOST, ':', 1) FROM information_schema.PROCESSLIST
		WHERE USER = ? ORDER BY 1`, user)
}

package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sallyport/internal/driver"
	"sallyport/internal/fault"

	"github.com/jackc/pgx/v5"
)

// quote makes a name an identifier of SQL.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal makes text a string of SQL. A backslash in it is a backslash, whatever the server is set to.
func literal(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\x00", "").Replace(text) + "'"
}

func joined(names []string) string { return strings.Join(names, ", ") }

// labelled is the end of a role's comment that names the run.
var labelled = regexp.MustCompile(` ?\[` + driver.LabelPrefix + `[^\[\]]*\]$`)

// role is what the server knows of a user.
type role struct {
	canLogin, expired bool
	owner             bool // it acts as the owner already
	comment           string
}

// look locks a user against other runs, and reads it. nil: there is none of that name.
func (d *roles) look(ctx context.Context, tx pgx.Tx, user string) (*role, error) {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('sallyport ' || $1, 0))", user)
	if err != nil {
		return nil, d.explain(err)
	}
	r := new(role)
	rows, err := tx.Query(ctx, `SELECT rolcanlogin, coalesce(rolvaliduntil < now(), false),
			coalesce('role=' || $2::text = ANY (rolconfig), false), coalesce(shobj_description(oid, 'pg_authid'), '')
		FROM pg_roles WHERE rolname = $1`, user, d.s.Owner)
	if err != nil {
		return nil, d.explain(err)
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, d.explain(rows.Err())
	}
	err = rows.Scan(&r.canLogin, &r.expired, &r.owner, &r.comment)
	return r, d.explain(err)
}

// letIn gives a user its password and the right to log in, if it can do what the active one can.
func (d *roles) letIn(ctx context.Context, tx pgx.Tx, label string, login driver.Login, active string) error {
	r, err := d.look(ctx, tx, login.User)
	switch {
	case err != nil:
		return err
	case r == nil:
		return fault.WithHint(fmt.Errorf("%w: there is no user %q", driver.ErrRefused, login.User),
			"as a superuser: CREATE ROLE "+quote(login.User)+" NOLOGIN, with the privileges of the other one")
	case r.expired:
		return fault.WithHint(fmt.Errorf("%w: the time of %q is over (VALID UNTIL)", driver.ErrRefused, login.User),
			"ALTER ROLE "+quote(login.User)+" VALID UNTIL 'infinity'")
	}
	if err := d.actAsOwner(ctx, tx, r, login.User); err != nil {
		return err
	}
	if err := d.compare(ctx, tx, active, login.User); err != nil {
		return err
	}
	if err := d.setPassword(ctx, tx, login, " LOGIN"); err != nil {
		return err
	}
	comment := labelled.ReplaceAllString(r.comment, "")
	return d.comment(ctx, tx, login.User, strings.TrimPrefix(comment+" ["+label+"]", " "))
}

func (d *roles) setPassword(ctx context.Context, tx pgx.Tx, login driver.Login, attributes string) error {
	hashed, err := verifier(login.Password)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "ALTER ROLE "+quote(login.User)+attributes+" PASSWORD "+literal(hashed))
	return d.explain(err)
}

func (d *roles) comment(ctx context.Context, tx pgx.Tx, user, text string) error {
	_, err := tx.Exec(ctx, "COMMENT ON ROLE "+quote(user)+" IS "+literal(text))
	return d.explain(err)
}

// actAsOwner makes the user a member of the owner, and the owner the role that it acts as.
func (d *roles) actAsOwner(ctx context.Context, tx pgx.Tx, r *role, user string) error {
	if d.s.Owner == "" {
		return nil
	}
	var member bool
	err := tx.QueryRow(ctx, "SELECT pg_has_role($1, $2, 'MEMBER')", user, d.s.Owner).Scan(&member)
	if err == nil && !member {
		_, err = tx.Exec(ctx, "GRANT "+quote(d.s.Owner)+" TO "+quote(user))
	}
	if err == nil && !r.owner {
		_, err = tx.Exec(ctx, "ALTER ROLE "+quote(user)+" SET role TO "+literal(d.s.Owner))
	}
	return d.explain(err)
}

// differences lists what role $1 can do or is set to and role $2 is not. Privileges and objects are compared by
// pg_shdepend, which has them of every database.
const differences = `WITH a AS (SELECT * FROM pg_roles WHERE rolname = $1), b AS (SELECT * FROM pg_roles WHERE rolname = $2)
	SELECT 'is a member of ' || quote_ident(r.rolname) FROM a, b, pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
		WHERE m.member = a.oid AND m.roleid <> b.oid AND NOT pg_has_role(b.oid, m.roleid, 'MEMBER')
	UNION ALL SELECT CASE deptype WHEN 'o' THEN 'owns ' ELSE 'has privileges of its own on ' END || count(*) || ' objects' FROM (
		SELECT dbid, classid, objid, objsubid, deptype FROM pg_shdepend, a, b
			WHERE refclassid = 'pg_authid'::regclass AND refobjid = a.oid AND deptype IN ('a', 'o')
			AND NOT pg_has_role(b.oid, a.oid, 'USAGE')
		EXCEPT SELECT dbid, classid, objid, objsubid, deptype FROM pg_shdepend, b
			WHERE refclassid = 'pg_authid'::regclass AND refobjid = b.oid) d GROUP BY deptype
	UNION ALL SELECT 'is ' || v.name FROM a, b, LATERAL (VALUES ('SUPERUSER', a.rolsuper, b.rolsuper),
		('CREATEDB', a.rolcreatedb, b.rolcreatedb), ('REPLICATION', a.rolreplication, b.rolreplication),
		('BYPASSRLS', a.rolbypassrls, b.rolbypassrls)) v (name, has, other) WHERE has AND NOT other
	UNION ALL SELECT DISTINCT 'has the setting ' || split_part(c.one, '=', 1) FROM (
		SELECT setdatabase, unnest(setconfig) one FROM pg_db_role_setting, a WHERE setrole = a.oid
		EXCEPT SELECT setdatabase, unnest(setconfig) FROM pg_db_role_setting, b WHERE setrole = b.oid) c
	ORDER BY 1`

// compare refuses a user that could not take the active one's place.
func (d *roles) compare(ctx context.Context, tx pgx.Tx, active, user string) error {
	if active == "" {
		return nil
	}
	rows, err := tx.Query(ctx, differences, active, user)
	if err != nil {
		return d.explain(err)
	}
	lacks, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return d.explain(err)
	}
	if len(lacks) == 0 {
		return nil
	}
	return fault.WithHint(fmt.Errorf("%w: %q could not do what %q does, which %s", driver.ErrRefused, user, active,
		strings.Join(lacks[:min(len(lacks), maxNamed)], ", ")),
		"give privileges to a role that both are members of, and objects to it with REASSIGN OWNED, and set the same "+
			"for both")
}

const maxNamed = 10

// sessionsOf are those of other programs, by what they call themselves.
func (d *roles) sessionsOf(ctx context.Context, tx pgx.Tx, user string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT coalesce(application_name, '') FROM pg_stat_activity
		WHERE usename = $1 AND application_name IS DISTINCT FROM '`+program+`' AND pid <> pg_backend_pid() ORDER BY 1`, user)
	if err != nil {
		return nil, d.explain(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, d.explain(err)
}

// alive are the users that can log in, or have sessions although they cannot.
func (d *roles) alive(ctx context.Context, tx pgx.Tx) (keys []driver.Key, err error) {
	for _, user := range d.s.Users {
		r, err := d.look(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		open, err := d.sessionsOf(ctx, tx, user)
		if err != nil {
			return nil, err
		}
		if r.canLogin || len(open) > 0 {
			label := strings.Trim(labelled.FindString(r.comment), " []")
			keys = append(keys, driver.Key{ID: user, Label: label})
		}
	}
	return keys, nil
}

// shutOut takes a user's password and its right to log in. Of a user that retires the sessions come first: each shows
// that a consumer has not got the new login.
func (d *roles) shutOut(ctx context.Context, tx pgx.Tx, user string, retires bool) error {
	r, err := d.look(ctx, tx, user)
	if err != nil || r == nil {
		return err
	}
	open, err := d.sessionsOf(ctx, tx, user)
	if err != nil {
		return err
	}
	if retires && !d.s.EndSessions && len(open) > 0 {
		return fault.WithHint(fmt.Errorf("%w: %q still has sessions, of %s", driver.ErrRefused, user,
			named(open)), "restart what holds them; SELECT * FROM pg_stat_activity WHERE usename = "+
			strings.TrimPrefix(literal(user), "E")+" shows them, and `end_sessions: true` ends them")
	}
	if _, err := tx.Exec(ctx, "ALTER ROLE "+quote(user)+" NOLOGIN PASSWORD NULL"); err != nil {
		return d.explain(err)
	}
	if found := labelled.FindString(r.comment); found != "" {
		if err := d.comment(ctx, tx, user, strings.TrimSuffix(r.comment, found)); err != nil {
			return err
		}
	}
	if retires && len(open) > 0 {
		return d.endSessions(ctx, tx, user)
	}
	return nil
}

// endSessions ends those that are open. What one of them opens again before the transaction ends is seen by Keys, and
// ended by another call.
func (d *roles) endSessions(ctx context.Context, tx pgx.Tx, user string) error {
	_, err := tx.Exec(ctx, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
		WHERE usename = $1 AND application_name IS DISTINCT FROM '`+program+`' AND pid <> pg_backend_pid()`, user)
	if err = d.explain(err); driver.Certain(err) {
		return fault.WithHint(err, "as a superuser: GRANT pg_signal_backend TO "+quote(d.s.AdminUser))
	}
	return err
}

// named lists programs as they call themselves, without what a terminal would obey.
func named(programs []string) string {
	list := slices.Clone(programs[:min(len(programs), maxNamed)])
	for i, name := range list {
		list[i] = fmt.Sprintf("%q", name)
	}
	return joined(list)
}

package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"sallyport/internal/driver"
	"sallyport/internal/fault"

	"github.com/gomodule/redigo/redis"
)

const (
	connectTimeout = 10 * time.Second
	replyTimeout   = 10 * time.Second
)

// conn is a connection to one server, logged in.
type conn struct {
	redis.Conn
	address string
	grants  string // what gives who is logged in the rights that are needed
}

func (c *conn) close() { _ = c.Close() }

// connect logs in.
func (d *user) connect(ctx context.Context, address string, login driver.Login) (*conn, error) {
	network, target, host := "unix", address, ""
	options := []redis.DialOption{
		redis.DialConnectTimeout(connectTimeout), redis.DialReadTimeout(replyTimeout),
		redis.DialWriteTimeout(replyTimeout),
	}
	if !driver.IsSocket(address) {
		var port string
		host, port = driver.HostPort(address, "6379")
		network, target = "tcp", net.JoinHostPort(host, port)
		config, err := d.s.Config(host)
		if err != nil {
			return nil, err
		}
		options = append(options, redis.DialUseTLS(config != nil), redis.DialTLSConfig(config))
	}
	dialled, err := redis.DialContext(ctx, network, target, options...)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("connecting to %s: %w: %w", address, driver.ErrUnclear, err),
			"is the server running, may this machine connect to it, and does it speak TLS as `tls` says?")
	}
	c := &conn{dialled, address, d.grants()}
	if _, err := c.do("logging in as "+login.User, "AUTH", login.User, string(login.Password.Reveal())); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// enter logs in as who sets passwords.
func (d *user) enter(ctx context.Context, address string, job driver.Job) (*conn, error) {
	if d.s.AdminUser != "" {
		password, err := d.on.Secret(ctx, d.s.AdminPassword)
		if err != nil {
			return nil, fmt.Errorf("reading the password of %q: %w", d.s.AdminUser, err)
		}
		return d.connect(ctx, address, driver.Login{User: d.s.AdminUser, Password: password})
	}
	login, err := d.login(job.Current)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, address, login)
}

// do sends a command. doing says what it is for; neither that nor the server's words have a password.
func (c *conn) do(doing, command string, args ...any) (any, error) {
	reply, err := c.Do(command, args...)
	if err == nil {
		return reply, nil
	}
	said, ok := errors.AsType[redis.Error](err)
	if !ok {
		return nil, fault.WithHint(fmt.Errorf("%s at %s: %w: %w", doing, c.address, driver.ErrUnclear, err),
			"the connection was lost: is the server running and well?")
	}
	kind, _, _ := strings.Cut(string(said), " ")
	if slices.Contains([]string{"LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM"}, kind) {
		return nil, fmt.Errorf("%s at %s: %w: the server answers %s", doing, c.address, driver.ErrUnclear, kind)
	}
	return nil, fault.WithHint(fmt.Errorf("%s at %s: %w: %s", doing, c.address, driver.ErrRefused, clean(string(said))),
		c.hint(kind))
}

func (c *conn) hint(kind string) string {
	switch kind {
	case "WRONGPASS", "NOAUTH":
		return "check the user and its password, and that ACL LIST shows it as on"
	case "NOPERM":
		return c.grants
	}
	return "access control lists are there since Redis 6; a managed server may keep them to itself"
}

// grants is the command that gives the administrator what it needs.
func (d *user) grants() string {
	name := d.s.AdminUser
	if name == "" {
		name = d.s.User
	}
	return "ACL SETUSER " + name + " +acl|getuser +acl|setuser +acl|save +config|get +config|rewrite +info"
}

// clean shortens what a server said, and takes control characters out.
func clean(said string) string {
	said = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, said)
	return strings.ToValidUTF8(said[:min(len(said), 200)], "")
}

// passwords are the hashes of a user that is on.
func (c *conn) passwords(user string) ([]string, error) {
	reply, err := redis.Values(c.do("reading the user "+user, "ACL", "GETUSER", user))
	switch {
	case errors.Is(err, redis.ErrNil):
		return nil, fault.WithHint(fmt.Errorf("reading the user %s at %s: %w: there is none", user, c.address,
			driver.ErrRefused), "make it on every server: ACL SETUSER "+user+" on, with its password and its rights")
	case err != nil:
		return nil, err
	}
	var flags, hashes []string
	for i := 0; i+1 < len(reply); i += 2 {
		switch key, _ := redis.String(reply[i], nil); key {
		case "flags":
			flags, err = redis.Strings(reply[i+1], nil)
		case "passwords":
			hashes, err = redis.Strings(reply[i+1], nil)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the user %s at %s: the answer is not that of Redis 6 or newer", user,
				c.address)
		}
	}
	switch {
	case slices.Contains(flags, "nopass"):
		return nil, fault.WithHint(fmt.Errorf("reading the user %s at %s: %w: it takes any password (nopass), and "+
			"with one of its own it would take no other", user, c.address, driver.ErrRefused),
			"give it the current password first: ACL SETUSER "+user+" >…")
	case slices.Contains(flags, "off"):
		return nil, fault.WithHint(fmt.Errorf("reading the user %s at %s: %w: it is off", user, c.address,
			driver.ErrRefused), "ACL SETUSER "+user+" on")
	}
	return hashes, nil
}

// saving is how the server keeps its lists over a restart.
func (c *conn) saving() (command string, err error) {
	reply, err := redis.Strings(c.do("asking for the aclfile", "CONFIG", "GET", "aclfile"))
	if err != nil {
		return "", err
	}
	if len(reply) == 2 && reply[1] != "" {
		return "ACL SAVE", nil
	}
	info, err := redis.String(c.do("asking for the configuration file", "INFO", "server"))
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(info, "\n") {
		if file, ok := strings.CutPrefix(strings.TrimSpace(line), "config_file:"); ok && file != "" {
			return "CONFIG REWRITE", nil
		}
	}
	return "", fault.WithHint(fmt.Errorf("asking %s for its configuration file: %w: it has none, and no aclfile: "+
		"after a restart it would know the old password alone", c.address, driver.ErrRefused),
		"start it with a configuration file or an aclfile, or write persist: none and see to it yourself")
}

// apply changes the user by a rule, and saves.
func (c *conn) apply(user, rule, save string) error {
	if rule != "" {
		if _, err := c.do("changing the user "+user, "ACL", "SETUSER", user, rule); err != nil {
			return err
		}
	}
	if save == "" {
		return nil
	}
	command, argument, _ := strings.Cut(save, " ")
	_, err := c.do("saving the user "+user, command, argument)
	return err
}

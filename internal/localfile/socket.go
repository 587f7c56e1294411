package localfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"sallyport/internal/fault"
)

// maxSocketPath is what a unix socket's address holds on every system (sun_path has 104 or 108 bytes).
const maxSocketPath = 100

// ErrPeer means that the process at the other end of a socket belongs to someone who has no say here.
var ErrPeer = errors.New("the process at the other end belongs to another user")

// address is how the kernel finds a socket in the directory. A path that is too long for it goes through the open
// directory, so that the socket never has to lie anywhere else.
func (d *Dir) address(name string) (address string, done func() error, err error) {
	none := func() error { return nil }
	if path := filepath.Join(d.path, name); len(path) <= maxSocketPath {
		return path, none, nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return "", none, err
	}
	through := filepath.Join(descriptors, strconv.Itoa(int(f.Fd())), name)
	if _, err := os.Stat(filepath.Dir(through)); err != nil {
		err = fault.WithHint(fmt.Errorf("a socket's path may have %d bytes here, and %q has more", maxSocketPath,
			d.path), "set `data` to a shorter path")
		return "", none, errors.Join(err, f.Close())
	}
	return through, f.Close, nil
}

// ListenUnix listens on a socket of that name in the directory, mode 0600, and takes connections of this user and of
// root alone; turned is told of any other. A socket that a process has left behind is replaced; anything else of that
// name is an error.
func (d *Dir) ListenUnix(ctx context.Context, name string, turned func(error)) (net.Listener, error) {
	l, err := d.listenUnix(ctx, name, turned)
	if err != nil {
		return nil, fmt.Errorf("listening on %q: %w", filepath.Join(d.path, name), bare(err))
	}
	return l, nil
}

func (d *Dir) listenUnix(ctx context.Context, name string, turned func(error)) (_ net.Listener, err error) {
	info, err := d.root.Lstat(name)
	if err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, fault.WithHint(errors.New("something that is no socket has that name"),
			"look what it is, and remove it")
	}
	if err == nil {
		err = d.root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	address, done, err := d.address(name)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", address)
	if err != nil {
		return nil, errors.Join(err, done())
	}
	if err := os.Chmod(address, 0o600); err != nil { // until here, and everywhere else, the peer's uid guards it
		return nil, errors.Join(err, l.Close(), done())
	}
	return &listener{Listener: l, turned: turned, done: sync.OnceValue(done)}, nil
}

// listener lets in who may decide for this process.
type listener struct {
	net.Listener

	turned func(error)
	done   func() error
}

// Accept returns the next connection of this user or root.
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err = checkPeer(conn); err == nil {
			return conn, nil
		}
		_ = conn.Close()
		l.turned(err)
	}
}

// Close ends it, and takes the socket out of the directory. Whoever comes second is told net.ErrClosed and nothing
// else, also while the first is at it.
func (l *listener) Close() error { return errors.Join(l.Listener.Close(), l.done()) }

// DialUnix connects to a socket of that name in the directory, of a process of this user or of root. Nobody listening
// is fs.ErrNotExist or syscall.ECONNREFUSED.
func (d *Dir) DialUnix(ctx context.Context, name string) (net.Conn, error) {
	address, done, err := d.address(name)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", address)
	if err = errors.Join(err, done()); err != nil {
		return nil, err
	}
	if err := checkPeer(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to %q: %w", filepath.Join(d.path, name), err), conn.Close())
	}
	return conn, nil
}

// Peer is who is at the other end of a socket, as the kernel knows it.
type Peer struct {
	UID   int // of the process when it connected
	Login int // the uid of the session that it is from, also after su and sudo; NoLogin where the kernel knows none
}

// NoLogin is the Login of a process that is from no session, as in most containers, or of which the kernel keeps no
// account.
const NoLogin = -1

// Person is the uid of the person: that of the login where there is one.
func (p Peer) Person() int {
	if p.Login != NoLogin {
		return p.Login
	}
	return p.UID
}

// PeerOf asks the kernel who is at the other end of a connection of ListenUnix or DialUnix.
func PeerOf(conn net.Conn) (Peer, error) {
	p, err := peer(conn)
	if err != nil {
		return Peer{}, fmt.Errorf("asking who is at the other end: %w", err)
	}
	return p, nil
}

// checkPeer returns an error unless this process trusts who is at the other end.
func checkPeer(conn net.Conn) error {
	p, err := PeerOf(conn)
	if err != nil {
		return err
	}
	return judgePeer(p.UID, os.Geteuid())
}

func judgePeer(uid, self int) error {
	if trusts(self, uid) {
		return nil
	}
	name := Name(uid)
	return fault.WithHint(fmt.Errorf("%w (%s), and this one to %s", ErrPeer, name, Name(self)),
		"run the command as the user that the gate runs as")
}

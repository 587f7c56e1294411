package check_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"

	"sallyport/internal/doctor"
)

func TestListen(t *testing.T) {
	file := written(t, t.TempDir(), "url", postgres.URL(t), 0o600)
	on := configured(t, fmt.Sprintf("database_file: %q\n", file))
	r := one(t, "listen", on)
	if r.Status != doctor.OK {
		t.Errorf("got %+v", r.Seen)
	}
	has(t, r, doctor.OK, "a notification arrived")

	if r := one(t, "listen", configured(t, "data: ./d\n")); r.Status != doctor.OK {
		t.Errorf("with SQLite: got %+v", r.Seen)
	}
	gone := written(t, t.TempDir(), "url", "postgres://u:"+canary+"@127.0.0.1:1/n?sslmode=disable", 0o600)
	if r := one(t, "listen", configured(t, fmt.Sprintf("database_file: %q\n", gone))); r.Status != doctor.Unseen {
		t.Errorf("with no server: got %+v", r.Seen)
	}
}

// TestListenPooled: behind what delivers no notifications, as a pooler in transaction mode, it fails and says why.
func TestListenPooled(t *testing.T) {
	l, through := postgres.Through(t, postgres.URL(t))
	defer l.Cut()
	address := deaf(t, l.Address())
	u, err := url.Parse(through)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	file := written(t, t.TempDir(), "url", u.String(), 0o600)
	r := one(t, "listen", configured(t, fmt.Sprintf("database_file: %q\n", file)))
	golden(t, "listen", r, address, "ADDRESS")
	has(t, r, doctor.Failed, "did not arrive")
}

// deaf passes connections of PostgreSQL's protocol on, without the server's notifications (NotificationResponse, 'A').
func deaf(t *testing.T, to string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(t.Context(), "tcp", to)
			if err != nil {
				_ = client.Close()
				return
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { passWithoutNotices(client, server); _ = client.Close() }()
		}
	}()
	return listener.Addr().String()
}

func passWithoutNotices(client io.Writer, server io.Reader) {
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(server, body); err != nil {
			return
		}
		if head[0] == 'A' {
			continue
		}
		if _, err := client.Write(append(append([]byte(nil), head...), body...)); err != nil {
			return
		}
	}
}

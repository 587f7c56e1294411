package wayout_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"sallyport/internal/wayout"
)

// play is a part of a wall, in its namespace: a check, the world with its listener, or the router with what stands on
// it. It returns the exit code.
func play(part string) int {
	var err error
	switch part {
	case "check":
		err = playCheck()
	case "world":
		l := wayout.Listener{
			Ready:   func([]int) { fmt.Println("ready") },
			Missing: func(err error) { fmt.Fprintln(os.Stderr, err) },
		}
		err = l.Run(context.Background())
	case "router":
		err = playRouter()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, part, err)
		return 1
	}
	return 0
}

func playCheck() error {
	var a asking
	if err := json.NewDecoder(os.Stdin).Decode(&a); err != nil {
		return err
	}
	r, err := wayout.Check(context.Background(), wayout.Options{
		Targets: a.Targets, Baseline: a.Baseline, Timeout: a.Timeout, ResolvConf: a.ResolvConf,
		DockerSocket: a.DockerSocket,
		Lookup:       func(name string) (string, bool) { v, ok := a.Environment[name]; return v, ok },
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// playRouter runs what stands where a gate does and knows nobody, a resolver that resolves nothing of others on port 53
// of the router's first address, one that forwards on its second, and a proxy that lets everybody out.
func playRouter() error {
	ended := make(chan error, 4)
	for address, forwards := range map[string]bool{gate4 + ":53": false, "198.51.100.1:53": true} {
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go func() { ended <- resolve(udp, forwards) }()
		go func() { ended <- refuse(tcp) }()
	}
	proxy, err := net.Listen("tcp", gate4+":3128")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(letOut)}
	go func() { ended <- server.Serve(proxy) }()
	gate, err := net.Listen("tcp", gate4+":8470")
	if err != nil {
		return err
	}
	unknown := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	})}
	go func() { ended <- unknown.Serve(gate) }()
	fmt.Println("ready")
	return <-ended
}

// resolve responds to questions over UDP: it forwards them to the world, or refuses.
func resolve(on net.PacketConn, forwards bool) error {
	buffer := make([]byte, 4<<10)
	for {
		n, from, err := on.ReadFrom(buffer)
		if err != nil {
			return err
		}
		response, err := resolved(buffer[:n], forwards)
		if err != nil {
			return err
		}
		if _, err := on.WriteTo(response, from); err != nil {
			return err
		}
	}
}

func resolved(question []byte, forwards bool) ([]byte, error) {
	if forwards {
		world, err := net.Dial("udp", world4+":53")
		if err != nil {
			return nil, err
		}
		defer func() { _ = world.Close() }()
		if _, err := world.Write(question); err != nil {
			return nil, err
		}
		response := make([]byte, 4<<10)
		n, err := world.Read(response)
		return response[:n], err
	}
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.RCode = true, dnsmessage.RCodeRefused
	return m.Pack()
}

// refuse ends each connection.
func refuse(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		_ = conn.Close()
	}
}

// letOut is a proxy that makes a tunnel for everybody.
func letOut(w http.ResponseWriter, r *http.Request) {
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = out.Close() }()
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	_, _ = bufio.NewReader(rw).Peek(1)
}

// engine listens where the Docker engine would.
func (w *wall) engine(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = refuse(l) }()
}

// forwarding names the resolver of the router that forwards.
func (w *wall) forwarding() string {
	file := filepath.Join(w.dir, "forwarding.conf")
	if err := os.WriteFile(file, []byte("nameserver 198.51.100.1\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

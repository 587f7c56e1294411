package wayout_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/testkit"
	"sallyport/internal/wayout"
)

// TestMain runs the tests, or, in a network namespace that one of them has made, what it asks for.
func TestMain(m *testing.M) {
	if part := os.Getenv("WAYOUT_PART"); part != "" {
		os.Exit(play(part))
	}
	os.Exit(cluster.Main(m))
}

// The addresses of the three namespaces: the node, the host that routes for it, and the world.
const (
	world4, world6 = "198.51.100.10", "2001:db8:9::10"
	bypassed       = "198.51.100.77"
	gate4          = "10.9.0.1"
)

// wall is a node behind a router, with a world beyond it.
type wall struct {
	t                   *testing.T
	node, router, world string // names of network namespaces
	dir                 string
}

// newWall makes the namespaces. The world has every address that a leak could lead to, and listens on all of them.
func newWall(t *testing.T) *wall {
	t.Helper()
	for _, program := range []string{"ip", "nft"} {
		_, err := exec.LookPath(program)
		testkit.RequireTool(t, program, err == nil && os.Geteuid() == 0, "as root: `tools/debian iproute2 nftables`")
	}
	name := func(part string) string { return fmt.Sprintf("wayout-%d-%s", os.Getpid(), part) }
	w := &wall{t: t, node: name("node"), router: name("router"), world: name("world"), dir: t.TempDir()}
	for _, n := range []string{w.node, w.router, w.world} {
		w.run("ip", "netns", "add", n)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n).Run() })
		w.run("ip", "-n", n, "link", "set", "lo", "up")
	}
	w.link(w.node, "node0", w.router, "br-n8n")
	w.link(w.world, "world0", w.router, "out0")
	for _, a := range [][3]string{
		{w.node, "node0", "10.9.0.2/24"},
		{w.node, "node0", "fd09::2/64"},
		{w.router, "br-n8n", "10.9.0.1/24"},
		{w.router, "br-n8n", "fd09::1/64"},
		{w.router, "out0", "198.51.100.1/24"},
		{w.router, "out0", "2001:db8:9::1/64"},
		{w.world, "world0", world4 + "/24"},
		{w.world, "world0", bypassed + "/24"},
		{w.world, "world0", world6 + "/64"},
		{w.world, "lo", "169.254.169.254/32"},
		{w.world, "lo", "fd00:ec2::254/128"},
		{w.world, "lo", "64:ff9b::c633:640a/128"},
	} {
		nodad := []string{}
		if strings.Contains(a[2], ":") {
			nodad = []string{"nodad"}
		}
		w.run("ip", append([]string{"-n", a[0], "addr", "add", a[2], "dev", a[1]}, nodad...)...)
	}
	for _, r := range [][3]string{
		{w.node, "default", "10.9.0.1"},
		{w.node, "default", "fd09::1"},
		{w.world, "default", "198.51.100.1"},
		{w.world, "default", "2001:db8:9::1"},
		{w.router, "169.254.169.254/32", world4},
		{w.router, "fd00:ec2::254/128", world6},
		{w.router, "64:ff9b::/96", world6},
	} {
		w.run("ip", "-n", r[0], "route", "add", r[1], "via", r[2])
	}
	w.run("ip", "netns", "exec", w.router, "sh", "-c",
		"echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	// As in Docker's containers: any process may send an echo request.
	w.run("ip", "netns", "exec", w.node, "sh", "-c", "echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range")
	w.start(w.world, "world")
	w.start(w.router, "router")
	return w
}

func (w *wall) link(a, nameA, b, nameB string) {
	w.run("ip", "link", "add", nameA, "netns", a, "type", "veth", "peer", "name", nameB, "netns", b)
	w.run("ip", "-n", a, "link", "set", nameA, "up")
	w.run("ip", "-n", b, "link", "set", nameB, "up")
}

func (w *wall) run(program string, args ...string) {
	w.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// start runs a part of this program in a namespace, until the test ends, and returns when the part says that it is
// ready.
func (w *wall) start(namespace, part string) {
	w.t.Helper()
	cmd := w.part(namespace, part)
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		w.t.Fatalf("%s is not ready: %v", part, err)
	}
}

func (w *wall) part(namespace, part string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), "ip", "netns", "exec", namespace, os.Args[0])
	cmd.Env = append(os.Environ(), "WAYOUT_PART="+part)
	return cmd
}

// load loads the file that ships on the router, with the values of this wall.
func (w *wall) load(edit ...string) {
	w.t.Helper()
	w.loadFile(w.router, "nftables.nft", map[string]string{
		"node_links": `"br-n8n"`, "gate4": gate4, "gate6": "fd09::1", "gate_ports": "8470, 8471",
		"resolver4": gate4, "resolver6": "fd09::1",
	}, edit...)
}

// loadFile loads a file that ships in a namespace, with values in place of its own, and with edits, which are pairs.
func (w *wall) loadFile(namespace, name string, values map[string]string, edit ...string) {
	w.t.Helper()
	text, err := os.ReadFile("../../deploy/egress/" + name)
	if err != nil {
		w.t.Fatal(err)
	}
	rules := string(text)
	for name, value := range values {
		line := regexp.MustCompile(`(?m)^define ` + name + ` = .*$`)
		if !line.MatchString(rules) {
			w.t.Fatalf("the file does not define %s", name)
		}
		rules = line.ReplaceAllString(rules, "define "+name+" = { "+value+" }")
	}
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(rules, edit[i]) {
			w.t.Fatalf("the file has no %q", edit[i])
		}
		rules = strings.ReplaceAll(rules, edit[i], edit[i+1])
	}
	file := filepath.Join(w.dir, "rules.nft")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.run("ip", "netns", "exec", namespace, "nft", "-f", file)
}

// leak makes a hole in the wall.
func (w *wall) leak(rule string) {
	w.t.Helper()
	if rule != "" {
		w.run("ip", append([]string{
			"netns", "exec", w.router, "nft", "insert", "rule", "inet", "sallyport_egress",
			"from_node",
		}, strings.Fields(rule)...)...)
	}
}

// asking is what a check is run with, in a namespace.
type asking struct {
	Targets      []netip.Addr
	Baseline     *wayout.Report
	Timeout      time.Duration
	ResolvConf   string
	DockerSocket string
	Environment  map[string]string
}

// ask is what most checks are run with.
func (w *wall) ask() asking {
	file := filepath.Join(w.dir, "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver "+gate4+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return asking{
		Targets:      []netip.Addr{netip.MustParseAddr(world4), netip.MustParseAddr(world6)},
		Timeout:      time.Second,
		ResolvConf:   file,
		DockerSocket: filepath.Join(w.dir, "docker.sock"),
	}
}

// check runs a check in a namespace.
func (w *wall) check(namespace string, a asking) (r wayout.Report) {
	w.t.Helper()
	input, err := json.Marshal(a)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := w.part(namespace, "check")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("checking: %v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		w.t.Fatalf("reading the report: %v\n%s", err, out)
	}
	return r
}

// found are the ids of the probes with a status.
func found(r wayout.Report, s wayout.Status) []string {
	ids := []string{}
	for _, p := range r.Probes {
		if p.Status == s {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// leaks are holes, each with the ways that it opens, and no others.
var leaks = []struct {
	name, rule string
	edit       []string // of the file, in pairs
	env        map[string]string
	docker     bool
	forwarding bool // the configured resolver is one that forwards
	want       []string
}{
	{name: "HTTPS over IPv4", rule: "ip daddr 198.51.100.10 tcp dport 443 accept", want: []string{"https", "doh"}},
	{
		name: "HTTPS over IPv6 alone", rule: "ip6 daddr 2001:db8:9::10 tcp dport 443 accept",
		want: []string{"https", "doh"},
	},
	{name: "HTTP", rule: "ip daddr 198.51.100.10 tcp dport 80 accept", want: []string{"http", "websocket"}},
	{name: "QUIC", rule: "udp dport 443 accept", want: []string{"quic"}},
	{name: "QUIC over IPv6 alone", rule: "meta nfproto ipv6 udp dport 443 accept", want: []string{"quic"}},
	{name: "a resolver of its own, UDP", rule: "ip daddr 198.51.100.10 udp dport 53 accept", want: []string{"dns-own"}},
	{name: "a resolver of its own, TCP", rule: "ip daddr 198.51.100.10 tcp dport 53 accept", want: []string{"dns-own"}},
	{name: "DNS over TLS", rule: "tcp dport 853 accept", want: []string{"dot"}},
	{
		name: "the resolver of the wall resolves names of others", rule: "ip daddr 198.51.100.1 udp dport 53 accept",
		forwarding: true, want: []string{"dns-tunnel"},
	},
	{name: "SSH", rule: "tcp dport 22 accept", want: []string{"ssh"}},
	{name: "git", rule: "tcp dport 9418 accept", want: []string{"git"}},
	{name: "SMTP", rule: "tcp dport 25 accept", want: []string{"smtp"}},
	{name: "SMTP over TLS", rule: "tcp dport 465 accept", want: []string{"smtps"}},
	{name: "mail submission", rule: "tcp dport 587 accept", want: []string{"submission"}},
	{name: "IMAP over TLS", rule: "tcp dport 993 accept", want: []string{"imaps"}},
	{name: "FTP", rule: "tcp dport 21 accept", want: []string{"ftp"}},
	{name: "high ports", rule: "ip daddr != 10.0.0.0/8 tcp dport 1024-9000 accept", want: []string{"other"}},
	{name: "NTP", rule: "udp dport 123 accept", want: []string{"ntp"}},
	{name: "ICMP", rule: "icmp type echo-request accept", want: []string{"icmp"}},
	{name: "ICMPv6", rule: "icmpv6 type echo-request accept", want: []string{"icmp"}},
	{name: "metadata", rule: "ip daddr 169.254.0.0/16 accept", want: []string{"metadata"}},
	{name: "metadata over IPv6", rule: "ip6 daddr fd00:ec2::254 accept", want: []string{"metadata"}},
	{name: "NAT64", rule: "ip6 daddr 64:ff9b::/96 accept", want: []string{"nat64"}},
	{
		name: "NO_PROXY with its hole", rule: "ip daddr 198.51.100.77 accept",
		env: map[string]string{"NO_PROXY": "localhost,10.9.0.1," + bypassed}, want: []string{"no-proxy"},
	},
	{
		name: "a proxy that lets everybody out", rule: "ip daddr 10.9.0.1 tcp dport 3128 accept",
		env: map[string]string{"HTTPS_PROXY": "http://user:password@10.9.0.1:3128"}, want: []string{"proxy"},
	},
	{
		name: "the Kubernetes API server", rule: "ip daddr 198.51.100.10 tcp dport 993 accept",
		env:  map[string]string{"KUBERNETES_SERVICE_HOST": world4, "KUBERNETES_SERVICE_PORT": "993"},
		want: []string{"imaps", "kubernetes"},
	},
	{name: "the engine's socket", docker: true, want: []string{"docker"}},
	{
		name: "IPv6 was forgotten",
		edit: []string{"counter reject with icmpx", "meta nfproto ipv4 counter reject with icmpx"},
		want: []string{
			"https", "http", "websocket", "quic", "dns-own", "dot", "doh", "ssh", "git", "smtp", "smtps", "submission",
			"imaps", "ftp", "other", "ntp", "icmp", "metadata", "nat64",
		},
	},
}

// TestEveryLeakIsFound: behind the file that ships nothing is open and nothing unclear, and each hole that is made in
// it is found, by the ways that it opens and no others.
func TestEveryLeakIsFound(t *testing.T) {
	w := newWall(t)
	before := w.check(w.router, w.ask()) // from outside of the wall
	if n := len(found(before, wayout.Open)); n < 17 {
		t.Fatalf("%d ways are open outside of the wall: %v", n, found(before, wayout.Open))
	}
	closed := func(t *testing.T, a asking) {
		t.Helper()
		r := w.check(w.node, a)
		got := slices.Concat(found(r, wayout.Open), found(r, wayout.Unclear))
		if len(got) > 0 || r.Status != wayout.Closed {
			t.Errorf("behind the wall it found %v: %+v", got, r)
		}
	}
	a := w.ask()
	a.Baseline = &before
	w.load()
	closed(t, a)
	for _, leak := range leaks {
		t.Run(leak.name, func(t *testing.T) {
			ask := a
			ask.Environment = leak.env
			if leak.docker {
				w.engine(t, ask.DockerSocket)
			}
			if leak.forwarding {
				ask.ResolvConf = w.forwarding()
			}
			w.load(leak.edit...)
			w.leak(leak.rule)
			r := w.check(w.node, ask)
			if got := found(r, wayout.Open); !slices.Equal(got, inOrder(r, leak.want)) {
				t.Errorf("found %v, want %v", got, leak.want)
			}
			if got := found(r, wayout.Unclear); len(got) > 0 {
				t.Errorf("%v are unclear", got)
			}
			for _, p := range r.Probes {
				if (p.Status == wayout.Open) != (p.Close != "") {
					t.Errorf("%s is %s, and what closes it is %q", p.ID, p.Status, p.Close)
				}
			}
		})
	}
	w.load()
	closed(t, a)
}

// inOrder are ids in the order of a report.
func inOrder(r wayout.Report, ids []string) []string {
	sorted := []string{}
	for _, p := range r.Probes {
		if slices.Contains(ids, p.ID) {
			sorted = append(sorted, p.ID)
		}
	}
	return sorted
}

// TestSilence: a wall that drops shows nothing. Silence counts where the run from outside has reached the same targets,
// and is unclear where none has.
func TestSilence(t *testing.T) {
	w := newWall(t)
	before := w.check(w.router, w.ask())
	w.load("counter reject with icmpx admin-prohibited", "counter drop")
	a := w.ask()
	r := w.check(w.node, a)
	if got := found(r, wayout.Unclear); len(got) < 15 || r.Status != wayout.Unclear || r.Clean() {
		t.Errorf("without a run from outside %v are unclear, and the whole is %s", got, r.Status)
	}
	a.Baseline = &before
	if r = w.check(w.node, a); r.Status != wayout.Closed {
		t.Errorf("with a run from outside it found %v and %v", found(r, wayout.Open), found(r, wayout.Unclear))
	}
}

// TestUser: the file for an n8n that runs as a user of the host closes all ways to that user, and none to others.
func TestUser(t *testing.T) {
	w := newWall(t)
	w.loadFile(w.node, "nftables-user.nft", map[string]string{"n8n_user": "0", "gate4": gate4, "gate6": "fd09::1"})
	a := w.ask()
	a.Timeout = 3 * time.Second // the kernel tells a TCP socket over IPv6 at its second packet, after one second
	if r := w.check(w.node, a); r.Status != wayout.Closed {
		t.Errorf("that user: found %v and %v", found(r, wayout.Open), found(r, wayout.Unclear))
	}
	w.loadFile(w.node, "nftables-user.nft", map[string]string{"n8n_user": "4711", "gate4": gate4, "gate6": "fd09::1"})
	if r := w.check(w.node, a); len(found(r, wayout.Open)) < 17 {
		t.Errorf("another user: found %v", found(r, wayout.Open))
	}
}

// TestGateIsReached: the wall closes everything but the gate and what is named beside it.
func TestGateIsReached(t *testing.T) {
	w := newWall(t)
	w.load()
	a := w.ask()
	a.Targets = []netip.Addr{netip.MustParseAddr(gate4)}
	a.Environment = map[string]string{"HTTPS_PROXY": "http://" + gate4 + ":8470"}
	r := w.check(w.node, a)
	for _, p := range r.Probes {
		if p.ID == "proxy" && (p.Status != wayout.Closed || !strings.Contains(p.Attempts[0].Saw, "407")) {
			t.Errorf("the gate was not reached: %+v", p)
		}
	}
}

// TestNoRoute: in an internal network there is no route out, which needs no run from outside.
func TestNoRoute(t *testing.T) {
	w := newWall(t)
	w.load()
	w.run("ip", "-n", w.node, "route", "del", "default")
	w.run("ip", "-n", w.node, "-6", "route", "del", "default")
	if r := w.check(w.node, w.ask()); r.Status != wayout.Closed {
		t.Errorf("found %v and %v", found(r, wayout.Open), found(r, wayout.Unclear))
	}
}

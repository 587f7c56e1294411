package wayout

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"sallyport/internal/localfile"
)

const maxDNS = 4 << 10 // bytes of a message

// question is a DNS query with recursion wanted.
func question(name string, kind dnsmessage.Type) ([]byte, error) {
	full, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, fmt.Errorf("writing a DNS question for %q: %w", name, err)
	}
	var id [2]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header: dnsmessage.Header{ID: binary.BigEndian.Uint16(id[:]), RecursionDesired: true},
		Questions: []dnsmessage.Question{
			{Name: full, Type: kind, Class: dnsmessage.ClassINET},
		},
	}
	return m.Pack()
}

// responseTo reads what came back for a question.
func responseTo(question, raw []byte) (m dnsmessage.Message, err error) {
	if err = m.Unpack(raw); err != nil {
		return m, noted{errDoubt, "what came back is no DNS message"}
	}
	if len(raw) < 2 || !bytes.Equal(raw[:2], question[:2]) || !m.Response {
		return m, noted{errDoubt, "what came back is no response to the question"}
	}
	return m, nil
}

// resolver asks a resolver of the workflow's own choice. One that refuses may be any on the way.
func resolver(network, to, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		q, err := question(name, dnsmessage.TypeA)
		if err != nil {
			return "", err
		}
		m, err := asked(ctx, network, to, q)
		if err != nil {
			return "", err
		}
		if m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError {
			return "", noted{errDoubt, "a resolver responded, and refused: " + rcode(m.RCode)}
		}
		return "a DNS response, " + rcode(m.RCode), nil
	}
}

// tunnel asks the resolver that is configured for a name that nobody has asked for before, under a zone of others. What
// is in such names reaches the zone's own servers: that is how data leaves through DNS.
func tunnel(network, to, zone string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var label [12]byte
		if _, err := rand.Read(label[:]); err != nil {
			return "", err
		}
		q, err := question("sallyport-check-"+hex.EncodeToString(label[:])+"."+zone, dnsmessage.TypeTXT)
		if err != nil {
			return "", err
		}
		m, err := asked(ctx, network, to, q)
		if errors.Is(err, errDoubt) { // nothing was resolved, whoever it was
			err = noted{errBlocked, err.Error()}
		}
		if err != nil {
			return "", err
		}
		return passedOn(m, zone)
	}
}

// passedOn tells whether a response is the zone's, or one that the resolver has made up by itself.
func passedOn(m dnsmessage.Message, zone string) (string, error) {
	const by = "the resolver passed a name of ours on to the servers of "
	switch {
	case m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError:
		return "", noted{errBlocked, "the resolver does not resolve names of others: " + rcode(m.RCode)}
	case m.RCode == dnsmessage.RCodeSuccess && len(m.Answers) > 0:
		return by + zone, nil
	}
	for _, a := range m.Authorities {
		owner := strings.ToLower(strings.TrimSuffix(a.Header.Name.String(), "."))
		if _, ok := a.Body.(*dnsmessage.SOAResource); ok && owner != "" && within(zone, owner) {
			return by + zone + " (" + rcode(m.RCode) + " with its SOA)", nil
		}
	}
	if m.RCode == dnsmessage.RCodeNameError {
		return "", noted{errBlocked, "the resolver says by itself that the name does not exist"}
	}
	return "", noted{errDoubt, "the resolver responded with nothing"}
}

// within tells whether zone is owner, or below or above it.
func within(zone, owner string) bool {
	zone = strings.ToLower(zone)
	return zone == owner || strings.HasSuffix(zone, "."+owner) || strings.HasSuffix(owner, "."+zone)
}

// asked sends a question over UDP or TCP.
func asked(ctx context.Context, network, to string, q []byte) (m dnsmessage.Message, err error) {
	if network == "udp" {
		_, err = exchange(ctx, to, q, func(b []byte) (string, error) {
			m, err = responseTo(q, b)
			return "", err
		})
		return m, err
	}
	conn, err := dial(ctx, "tcp", to)
	if err != nil {
		return m, err
	}
	defer func() { _ = conn.Close() }()
	if _, err = conn.Write(frame(q)); err != nil {
		return m, err
	}
	raw, err := framed(conn)
	if err != nil {
		return m, noted{errDoubt, "connected, and no DNS response"}
	}
	return responseTo(q, raw)
}

// frame is a message as DNS over TCP has it. Those of a check are short.
func frame(message []byte) []byte {
	length := uint16(len(message)) //nolint:gosec // maxDNS at most
	return append(binary.BigEndian.AppendUint16(nil, length), message...)
}

// framed reads a message as DNS over TCP has it: behind its length.
func framed(from io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(length[:])
	if n > maxDNS {
		return nil, errors.New("the message is too long")
	}
	raw := make([]byte, n)
	_, err := io.ReadFull(from, raw)
	return raw, err
}

func rcode(c dnsmessage.RCode) string {
	switch c {
	case dnsmessage.RCodeSuccess:
		return "NOERROR"
	case dnsmessage.RCodeNameError:
		return "NXDOMAIN"
	case dnsmessage.RCodeServerFailure:
		return "SERVFAIL"
	case dnsmessage.RCodeRefused:
		return "REFUSED"
	case dnsmessage.RCodeFormatError, dnsmessage.RCodeNotImplemented:
	}
	return fmt.Sprint("RCODE ", uint16(c))
}

// resolvers reads the addresses of the configured ones, three at most, as the resolver library does.
func resolvers(ctx context.Context, file string) (list []netip.Addr, err error) {
	text, err := localfile.ReadContext(ctx, file, localfile.Small)
	if err != nil {
		return nil, fmt.Errorf("reading the resolvers: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() && len(list) < 3 {
		word, rest, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if fields := strings.Fields(rest); word == "nameserver" && len(fields) > 0 {
			if a, err := netip.ParseAddr(fields[0]); err == nil {
				list = append(list, a)
			}
		}
	}
	return list, nil
}

// addresses resolves a name by the configured resolvers.
func (s *scene) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	r := net.Resolver{PreferGo: true}
	if s.ResolvConf != "/etc/resolv.conf" && len(s.resolvers) > 0 {
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at(s.resolvers[0], 53))
		}
	}
	list, err := r.LookupNetIP(ctx, "ip", strings.TrimSuffix(name, ".")+".")
	if err != nil || len(list) == 0 {
		return nil, noted{errNoName, "the name does not resolve here"}
	}
	return list, nil
}

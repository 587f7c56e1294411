package sign

import (
	"context"
	"crypto/md5" //nolint:gosec // RFC 7616 has it, and old devices have nothing else
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"

	"sallyport/internal/secret"
)

// maxChallenge is the longest realm, nonce or opaque, in bytes, that is sent back.
const maxChallenge = 4 << 10

// DigestOptions are a user name and its password.
type DigestOptions struct {
	Username string
	HideUser bool // it comes from a store and must not come back either
	Secret   secret.Value

	Nonce func() string // the client's nonce; nil: 16 random bytes in hexadecimal
}

// Digest is HTTP Digest authentication (RFC 7616): the server's challenge, which comes with a 401, is answered with every
// request from then on. Until there is one, requests go out without; so the first request is made twice. It answers MD5,
// SHA-256 and SHA-512-256, each with -sess, with qop auth, auth-int (which needs the whole body; only where auth is not
// offered) and, as RFC 2069 had it, without.
type Digest struct {
	o DigestOptions

	mu      sync.Mutex
	current *digestChallenge
}

// digestChallenge is a challenge that can be answered. Only count changes, under Digest.mu.
type digestChallenge struct {
	realm, nonce, opaque string
	algorithm            string // as the server wrote it; "" where it did not
	hash                 func() hash.Hash
	rank                 int
	session              bool // -sess
	cnonce               string
	qop                  string // auth, auth-int or ""
	userhash             bool
	utf8                 bool
	count                uint64
}

// NewDigest checks the options.
func NewDigest(o DigestOptions) (*Digest, error) {
	if o.Nonce == nil {
		o.Nonce = random
	}
	switch {
	case o.Username == "":
		return nil, errors.New("there is no user name")
	case strings.ContainsFunc(o.Username, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }):
		return nil, errors.New("the user name has a colon or a control character, which Digest authentication cannot carry")
	case o.Secret.IsZero():
		return nil, errors.New("there is no password")
	}
	return &Digest{o: o}, nil
}

// Secrets implements Signer.
func (d *Digest) Secrets() [][]byte {
	all := reveal([]secret.Value{d.o.Secret})
	if d.o.HideUser {
		all = append(all, []byte(d.o.Username))
	}
	return all
}

// Challenge learns from the header of a 401 and tells whether there is now a challenge to answer: whether it is worth sending
// the request once more. Of several challenges the best is taken: SHA-256, then SHA-512-256 (of which servers have two
// readings), then MD5. A server that goes on with its nonce gets its count continued.
func (d *Digest) Challenge(h http.Header) bool {
	var best *digestChallenge
	for _, c := range challenges(h) {
		if read := readDigest(c); read != nil && (best == nil || read.rank > best.rank) {
			best = read
		}
	}
	if best == nil {
		return false
	}
	best.cnonce = d.o.Nonce()
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.current; old != nil && old.sameAs(best) {
		return true
	}
	d.current = best
	return true
}

// sameAs tells whether c is the challenge that is being answered already.
func (c *digestChallenge) sameAs(other *digestChallenge) bool {
	return c.nonce == other.nonce && c.realm == other.realm && c.algorithm == other.algorithm && c.qop == other.qop && c.opaque == other.opaque
}

// Next learns the nonce for the next requests from an answer's Authentication-Info (RFC 7616 section 3.5).
func (d *Digest) Next(h http.Header) {
	values := h["Authentication-Info"]
	if len(values) == 0 {
		return
	}
	read := readChallenges("Digest " + values[0]) // the same parameters, without the scheme
	if len(read) == 0 {
		return
	}
	nonce := read[0].params["nextnonce"]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil || nonce == "" || nonce == d.current.nonce || !sendable(nonce) {
		return
	}
	next := *d.current
	next.nonce, next.count, next.cnonce = nonce, 0, d.o.Nonce()
	d.current = &next
}

// readDigest returns the challenge where it can be answered, and nil otherwise.
func readDigest(c challenge) *digestChallenge {
	p := c.params
	_, hasRealm := p["realm"]
	if c.scheme != "digest" || !hasRealm || p["nonce"] == "" || !sendable(p["realm"]) || !sendable(p["nonce"]) || !sendable(p["opaque"]) {
		return nil
	}
	d := &digestChallenge{
		realm: p["realm"], nonce: p["nonce"], opaque: p["opaque"], algorithm: p["algorithm"],
		userhash: strings.EqualFold(p["userhash"], "true"), utf8: strings.EqualFold(p["charset"], "UTF-8"),
	}
	name := strings.ToUpper(first(d.algorithm, "MD5"))
	name, d.session = strings.CutSuffix(name, "-SESS")
	switch name {
	case "SHA-256":
		d.hash, d.rank = sha256.New, 3
	case "SHA-512-256":
		d.hash, d.rank = sha512.New512_256, 2
	case "MD5":
		d.hash, d.rank = md5.New, 1
	default:
		return nil
	}
	offered, asks := p["qop"]
	for option := range strings.SplitSeq(offered, ",") {
		switch option = strings.ToLower(strings.TrimSpace(option)); {
		case option == "auth", option == "auth-int" && d.qop == "":
			d.qop = option
		}
	}
	if asks && d.qop == "" && strings.Trim(offered, " ,\t") != "" {
		return nil // a quality that is not known
	}
	return d
}

// sendable tells whether what a server sent can be sent back.
func sendable(s string) bool {
	return len(s) <= maxChallenge && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Sign implements Signer: it answers the last challenge. Before there is one it sends nothing.
func (d *Digest) Sign(ctx context.Context, r *Request) error {
	c, count := d.take()
	if c == nil {
		return nil
	}
	target := target(r)
	a2 := r.Method + ":" + target
	if c.qop == "auth-int" {
		body, err := sum(ctx, r.Body, c.hash())
		if err != nil {
			return err
		}
		a2 += ":" + hex.EncodeToString(body)
	}
	cnonce := c.cnonce
	if !c.session { // with -sess the key hangs on the client's nonce, so it stays
		cnonce = d.o.Nonce()
	}
	nc := fmt.Sprintf("%08x", count)
	response := c.hex(d.a1(c, cnonce) + ":" + c.nonce + ":" + c.hex(a2))
	if c.qop != "" {
		response = c.hex(d.a1(c, cnonce) + ":" + c.nonce + ":" + nc + ":" + cnonce + ":" + c.qop + ":" + c.hex(a2))
	}
	r.Header["Authorization"] = []string{d.header(c, answer{target, nc, cnonce, response})}
	return nil
}

// take returns the challenge and the number of this answer to it.
func (d *Digest) take() (*digestChallenge, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return nil, 0
	}
	if d.current.count == 0xffffffff { // eight digits: the server has to give a new nonce
		d.current = nil
		return nil, 0
	}
	d.current.count++
	return d.current, d.current.count
}

// a1 is H(A1) (section 3.4.2).
func (d *Digest) a1(c *digestChallenge, cnonce string) string {
	a1 := c.hex(d.o.Username + ":" + c.realm + ":" + string(d.o.Secret.Reveal()))
	if c.session {
		return c.hex(a1 + ":" + c.nonce + ":" + cnonce)
	}
	return a1
}

func (c *digestChallenge) hex(s string) string {
	h := c.hash()
	_, _ = h.Write([]byte(s))
	return hex.EncodeToString(h.Sum(nil))
}

// answer is what of the Authorization header is new each time.
type answer struct{ uri, nc, cnonce, response string }

// header is section 3.4.
func (d *Digest) header(c *digestChallenge, a answer) string {
	b := append(make([]byte, 0, 512), "Digest "...)
	switch {
	case c.userhash:
		b = appendQuoted(append(b, "username="...), c.hex(d.o.Username+":"+c.realm))
	case c.utf8 && strings.ContainsFunc(d.o.Username, func(r rune) bool { return r >= 0x80 }): // RFC 8187
		b = appendEscaped(append(b, "username*=UTF-8''"...), d.o.Username, "")
	default:
		b = appendQuoted(append(b, "username="...), d.o.Username)
	}
	b = appendQuoted(append(b, ", realm="...), c.realm)
	b = appendQuoted(append(b, ", uri="...), a.uri)
	if c.algorithm != "" {
		b = append(append(b, ", algorithm="...), c.algorithm...)
	}
	b = appendQuoted(append(b, ", nonce="...), c.nonce)
	if c.qop != "" {
		b = append(append(b, ", nc="...), a.nc...)
		b = append(append(b, ", qop="...), c.qop...)
	}
	if c.qop != "" || c.session {
		b = appendQuoted(append(b, ", cnonce="...), a.cnonce)
	}
	b = appendQuoted(append(b, ", response="...), a.response)
	if c.opaque != "" {
		b = appendQuoted(append(b, ", opaque="...), c.opaque)
	}
	if c.userhash {
		b = append(b, ", userhash=true"...)
	}
	return string(b)
}

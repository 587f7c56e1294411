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
	"slices"
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

// Digest is HTTP Digest authentication (RFC 7616): the server's challenge, which comes with a 401, is answered with
// every request from then on. Until there is one, requests go out without; so the first request is made twice. It
// answers MD5, SHA-256 and SHA-512-256, each with -sess, with qop auth, auth-int (which needs the whole body; only
// where auth is not offered) and, as RFC 2069 had it, without.
//
// A request that was challenged answers the challenge of its own 401 (Challenge), and other requests get that challenge
// only when it has been answered once (Next): a server may take each nonce from one request, or from one connection,
// alone.
type Digest struct {
	o DigestOptions

	mu      sync.Mutex
	current *digestChallenge   // what requests answer that were not challenged yet
	recent  []*digestChallenge // the last that came, the newest last: one that comes again has its count continued
}

// maxRecent is how many challenges are remembered for their counts.
const maxRecent = 64

// digestAnswer is a Digest for one request, which answers the challenge of its own 401.
type digestAnswer struct {
	*Digest

	own *digestChallenge
}

// Sign implements Signer.
func (d *digestAnswer) Sign(ctx context.Context, r *Request) error { return d.sign(ctx, r, d.own) }

// Next makes the challenge that has been answered with success that of further requests, and then learns as Digest.Next
// does.
func (d *digestAnswer) Next(h http.Header) {
	d.mu.Lock()
	d.current = d.own
	d.mu.Unlock()
	d.Digest.Next(h)
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
		return nil,
			errors.New("the user name has a colon or a control character, which Digest authentication cannot carry")
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

// Challenge reads the header of a 401 and returns what signs the same request so that it answers this very challenge;
// nil where there is none that can be answered. stale tells whether the server only wants another nonce than the one
// that was used. Of several challenges the best is taken: SHA-256, then SHA-512-256 (of which servers have two
// readings), then MD5. A challenge that has come before gets its count continued.
func (d *Digest) Challenge(h http.Header) (_ Signer, stale bool) {
	var best *digestChallenge
	for _, c := range challenges(h) {
		if read := readDigest(c); read != nil && (best == nil || read.rank > best.rank) {
			best, stale = read, strings.EqualFold(c.params["stale"], "true")
		}
	}
	if best == nil {
		return nil, false
	}
	best.cnonce = d.o.Nonce()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, old := range d.recent {
		if old.sameAs(best) {
			return &digestAnswer{d, old}, stale
		}
	}
	if len(d.recent) == maxRecent {
		d.recent = slices.Delete(d.recent, 0, 1)
	}
	d.recent = append(d.recent, best)
	return &digestAnswer{d, best}, stale
}

// sameAs tells whether c is the challenge that is being answered already.
func (c *digestChallenge) sameAs(other *digestChallenge) bool {
	return c.nonce == other.nonce && c.realm == other.realm && c.algorithm == other.algorithm && c.qop == other.qop &&
		c.opaque == other.opaque
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
	if c.scheme != "digest" || !hasRealm || p["nonce"] == "" || !sendable(p["realm"]) || !sendable(p["nonce"]) ||
		!sendable(p["opaque"]) {
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
func (d *Digest) Sign(ctx context.Context, r *Request) error { return d.sign(ctx, r, nil) }

// sign answers own, or the last challenge where that is nil.
func (d *Digest) sign(ctx context.Context, r *Request, own *digestChallenge) error {
	c, count := d.take(own)
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

// take returns the challenge to answer, own or else the last, and the number of this answer to it.
func (d *Digest) take(own *digestChallenge) (*digestChallenge, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := own
	if c == nil {
		c = d.current
	}
	switch {
	case c == nil:
		return nil, 0
	case c.count == 0xffffffff: // eight digits: the server has to give a new nonce
		if d.current == c {
			d.current = nil
		}
		return nil, 0
	}
	c.count++
	return c, c.count
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

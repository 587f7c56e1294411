package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
)

const (
	macSize = sha256.Size
	macText = 43 // base64url without padding
	macKey  = `,"mac":"`
	lineEnd = "\"}\n"

	// trailer is how many bytes of every line follow what its MAC covers.
	trailer = len(macKey) + macText + len(lineEnd)
)

// macEncoding writes MACs and signatures. Its trailing bits are not unique when decoded,
// so texts are compared, never decoded values.
var macEncoding = base64.RawURLEncoding

// position is a place in the chain: right after record seq, whose MAC is mac, at byte offset.
type position struct {
	seq    int
	mac    [macSize]byte
	offset int64
}

// chain seals records one after another. It is owned by whoever writes.
type chain struct {
	hash hash.Hash
	text [macText]byte
}

func newChain(key []byte) *chain {
	return &chain{hash: hmac.New(sha256.New, key)}
}

// start is the position before the first record of any log under this key.
func (c *chain) start() position {
	var p position
	c.hash.Reset()
	c.hash.Write([]byte("sallyport audit chain v1"))
	c.hash.Sum(p.mac[:0])
	return p
}

// seal appends the record with this body and moves at past it.
func (c *chain) seal(dst []byte, at *position, body []byte) []byte {
	begin := len(dst)
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendInt(dst, int64(at.seq+1), 10)
	dst = append(dst, ',')
	dst = append(dst, body...)
	c.advance(at, dst[begin:])
	dst = append(dst, macKey...)
	dst = macEncoding.AppendEncode(dst, at.mac[:])
	dst = append(dst, lineEnd...)
	at.seq++
	at.offset += int64(len(dst) - begin)
	return dst
}

// advance replaces the MAC at this position by that of the next record.
func (c *chain) advance(at *position, covered []byte) {
	c.hash.Reset()
	c.hash.Write(at.mac[:])
	c.hash.Write(covered)
	c.hash.Sum(at.mac[:0])
}

// check moves at past line if line is the record that belongs there, and tells if it was.
// The line comes with its newline and has been found to end as every line ends.
func (c *chain) check(at *position, line []byte) bool {
	covered := line[:len(line)-trailer]
	next := *at
	c.advance(&next, covered)
	macEncoding.Encode(c.text[:], next.mac[:])
	stated := line[len(covered)+len(macKey) : len(line)-len(lineEnd)]
	if !hmac.Equal(c.text[:], stated) {
		return false
	}
	next.seq++
	next.offset += int64(len(line))
	*at = next
	return true
}

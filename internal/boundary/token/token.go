// Package token is what n8n holds instead of credentials: proxy tokens, spt_<id>_<random><checksum>, each one
// generation of a named token. It issues, verifies, rotates with an overlap and revokes them.
//
// It does not read requests and does not know services; a Grant only says whether a name is in its scope.
//
// Invariants: of a token's value only a keyed hash is kept. Verify touches nothing but memory, in time that does not
// depend on which part of a token is wrong. A rotation has no gap: until a generation is retired, expired or revoked it
// is accepted, and only Finish sets when that is, for the older ones.
package token

import (
	"crypto/rand"
	"hash/crc32"
	"math/big"
	"strings"
)

const (
	prefix       = "spt_"
	idLength     = 10
	randomBytes  = 32
	randomLength = 43 // 62^43 > 2^256
	sumLength    = 6  // 62^6 > 2^32
	idAt         = len(prefix)
	randomAt     = idAt + idLength + 1
	sumAt        = randomAt + randomLength

	// Length is the length of every token, in bytes.
	Length = sumAt + sumLength
)

const base62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // the order of big.Int.Text

// Parse returns the generation's id if s has the form of a token and its checksum fits. It needs no registry: it tells
// a typo, a truncated paste or another kind of key from a token, and lets scanners recognise one. It does not allocate.
func Parse(s string) (id string, ok bool) {
	if len(s) != Length || s[:idAt] != prefix || s[randomAt-1] != '_' {
		return "", false
	}
	id = s[idAt : idAt+idLength]
	for i := range len(id) {
		if !isLowerOrDigit(id[i]) {
			return "", false
		}
	}
	for i := randomAt; i < sumAt; i++ {
		if c := s[i]; !isLowerOrDigit(c) && (c < 'A' || c > 'Z') {
			return "", false
		}
	}
	if sum := checksum(s[:sumAt]); s[sumAt:] != string(sum[:]) {
		return "", false
	}
	return id, true
}

func isLowerOrDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// checksum is the CRC-32 (IEEE) of s in base62. It works on a string as it is: the standard library's function takes a
// slice through a function variable, which would cost an allocation per request.
func checksum(s string) (sum [sumLength]byte) {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crc32.IEEETable[byte(crc&0xff)^s[i]] ^ crc>>8
	}
	crc = ^crc
	for i := sumLength - 1; i >= 0; i-- {
		sum[i] = base62[crc%62]
		crc /= 62
	}
	return sum
}

// mint returns a new token and its id.
func mint() (token, id string) {
	var random [randomBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	id = newID()
	number := new(big.Int).SetBytes(random[:]).Text(62)
	token = prefix + id + "_" + strings.Repeat("0", randomLength-len(number)) + number
	sum := checksum(token)
	return token + string(sum[:]), id
}

// newID draws ten of 0-9a-z, each with the same probability: bytes past the last multiple of 36 are thrown away.
func newID() string {
	id := make([]byte, 0, idLength)
	var b [1]byte
	for len(id) < idLength {
		if _, _ = rand.Read(b[:]); b[0] < 252 {
			id = append(id, base62[b[0]%36])
		}
	}
	return string(id)
}

package boundary

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"
	"sync/atomic"
)

// idGenerator makes request ids: unique over processes by a random prefix, over requests by a counter. They need not be
// secret.
type idGenerator struct {
	prefix string
	n      atomic.Uint64
}

func newIDGenerator() *idGenerator {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return &idGenerator{prefix: strings.ToLower(base32.StdEncoding.EncodeToString(b[:])) + "-"}
}

func (s *idGenerator) next() string { return s.prefix + strconv.FormatUint(s.n.Add(1), 36) }

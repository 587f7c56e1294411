package mysql

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the server's own format
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/secret"
)

// The plugins whose hashes are known here.
const (
	pluginNative = "mysql_native_password"
	pluginSHA2   = "caching_sha2_password"
)

const (
	sha2Begins = "$A$"
	sha2Rounds = 5000 // the server's least; a value that Sallyport makes up has 80 bits and more
	sha2Salt   = 20
)

// hashFor is what a server keeps of a password. The salt is the run's: the same run makes the same hash, by which an
// attempt that was lost is known again.
func hashFor(plugin string, password secret.Value, run string) (hash string, ok bool) {
	switch plugin {
	case pluginNative:
		once := sha1.Sum(password.Reveal()) //nolint:gosec // the server's own format
		twice := sha1.Sum(once[:])          //nolint:gosec // the server's own format
		return "*" + strings.ToUpper(hex.EncodeToString(twice[:])), true
	case pluginSHA2:
		sum := sha256.Sum256([]byte("sallyport salt " + run))
		salt := base64.RawURLEncoding.EncodeToString(sum[:])[:sha2Salt]
		return sha2Hash(password.Reveal(), salt, sha2Rounds), true
	}
	return "", false
}

// sha2Hash is caching_sha2_password's: $A$, thousands of rounds in hex, $, salt, and SHA-crypt's digest.
func sha2Hash(password []byte, salt string, rounds int) string {
	return fmt.Sprintf("%s%03X$%s%s", sha2Begins, rounds/1000, salt, shaCrypt(password, []byte(salt), rounds))
}

// matches tells whether a hash that a server keeps is that of a password.
func matches(hash string, password secret.Value) bool {
	if strings.HasPrefix(hash, "*") {
		want, _ := hashFor(pluginNative, password, "")
		return hash == want
	}
	rest, ok := strings.CutPrefix(hash, sha2Begins)
	cost, rest, cut := strings.Cut(rest, "$")
	thousands, err := strconv.ParseUint(cost, 16, 16)
	if !ok || !cut || err != nil || len(rest) < sha2Salt || thousands == 0 {
		return false
	}
	return hash == sha2Hash(password.Reveal(), rest[:sha2Salt], int(thousands)*1000)
}

// shaCrypt is the digest of U. Drepper, "Unix crypt using SHA-256 and SHA-512" (2008), without its limit of 16 bytes of
// salt, and in its alphabet. The comments number its steps.
func shaCrypt(password, salt []byte, rounds int) string {
	b := sha256.New() // 4-8
	b.Write(password)
	b.Write(salt)
	b.Write(password)
	alternate := b.Sum(nil)
	a := sha256.New() // 1-3
	a.Write(password)
	a.Write(salt)
	a.Write(stretched(alternate, len(password))) // 9, 10
	for n := len(password); n > 0; n >>= 1 {     // 11
		if n&1 == 1 {
			a.Write(alternate)
		} else {
			a.Write(password)
		}
	}
	digest := a.Sum(nil)                                                      // 12
	p := stretched(sum(bytes.Repeat(password, len(password))), len(password)) // 13-16
	s := stretched(sum(bytes.Repeat(salt, 16+int(digest[0]))), len(salt))     // 17-20
	for i := range rounds {                                                   // 21
		c := sha256.New()
		c.Write(either(i%2 == 1, p, digest))
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		c.Write(either(i%2 == 1, digest, p))
		digest = c.Sum(nil)
	}
	return encoded(digest)
}

func sum(b []byte) []byte {
	digest := sha256.Sum256(b)
	return digest[:]
}

func either(first bool, a, b []byte) []byte {
	if first {
		return a
	}
	return b
}

// stretched repeats a digest up to n bytes.
func stretched(digest []byte, n int) []byte {
	return bytes.Repeat(digest, n/len(digest)+1)[:n]
}

// encoded is step 22: the bytes in their odd order, six bits each.
func encoded(d []byte) string {
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var out []byte
	put := func(v uint32, n int) {
		for range n {
			out = append(out, alphabet[v&63])
			v >>= 6
		}
	}
	for i, j, k := 0, 10, 20; len(out) < 40; i, j, k = k+1, i+1, j+1 {
		put(uint32(d[i])<<16|uint32(d[j])<<8|uint32(d[k]), 4)
	}
	put(uint32(d[31])<<8|uint32(d[30]), 3)
	return string(out)
}

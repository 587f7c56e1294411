package cipher_test

import (
	"strings"
	"testing"

	"sallyport/internal/n8n/cipher"
)

// oneKiB is the plaintext of a larger credential.
var oneKiB = value(strings.Repeat("0123456789abcdef", 64))

// BenchmarkReencrypt is the work that a change of the master key has with one value: decrypt under the old key, encrypt
// under the new one, and decrypt what came out.
func BenchmarkReencrypt(b *testing.B) {
	for name, pair := range map[string][2]cipher.Cipher{
		"cbc": {cipher.NewCBC(value(labKey)), cipher.NewCBC(value("another key, as long as the first"))},
		"gcm": {cipher.NewWrapping(value(labKey)), cipher.NewWrapping(value("another key"))},
	} {
		b.Run(name, func(b *testing.B) {
			stored := pair[0].Encrypt(oneKiB)
			b.SetBytes(int64(oneKiB.Len()))
			b.ReportAllocs()
			for b.Loop() {
				plain, err := pair[0].Decrypt(stored)
				if err != nil {
					b.Fatal(err)
				}
				if again, err := pair[1].Decrypt(pair[1].Encrypt(plain)); err != nil || !again.Equal(plain) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "values/s")
		})
	}
}

func BenchmarkCBC(b *testing.B) {
	c := cipher.NewCBC(value(labKey))
	stored := c.Encrypt(oneKiB)
	b.Run("decrypt", func(b *testing.B) {
		b.SetBytes(int64(oneKiB.Len()))
		for b.Loop() {
			if _, err := c.Decrypt(stored); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "values/s")
	})
	b.Run("encrypt", func(b *testing.B) {
		b.SetBytes(int64(oneKiB.Len()))
		for b.Loop() {
			c.Encrypt(oneKiB)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "values/s")
	})
}

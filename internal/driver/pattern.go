package driver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"unicode/utf8"

	"sallyport/internal/secret"
)

// Pattern says what a value that Sallyport makes up looks like. The zero Pattern is 40 letters and digits.
type Pattern struct {
	Length   int    // characters drawn at random; 0 is DefaultLength
	Alphabet string // one of the names in Alphabets, or the characters themselves, at least two; "" is alphanumeric
	Template string // what stands around them, with {value} in their place; "" is {value} alone
}

const (
	// DefaultLength of alphanumeric is 238 bits.
	DefaultLength = 40
	// MinBits is the least that a value may have of randomness: fewer can be guessed by who has a hash of it.
	MinBits = 80
	// maxLength bounds a value, in characters.
	maxLength = 4096

	placeholder = "{value}"
)

const (
	digits  = "0123456789"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	symbols = "!#$%&()*+,-./:;<=>?@[]^_{|}~"
)

// Alphabets are the alphabets that have a name. printable has no quotes, no backslash and no blank.
func Alphabets() map[string]string {
	return map[string]string{
		"alphanumeric": digits + upper + lower,
		"base64url":    digits + upper + lower + "-_",
		"digits":       digits,
		"hex":          digits + "abcdef",
		"lower":        digits + lower,
		"printable":    digits + upper + lower + symbols,
	}
}

func (p Pattern) filled() (Pattern, []rune) {
	if p.Length == 0 {
		p.Length = DefaultLength
	}
	if p.Template == "" {
		p.Template = placeholder
	}
	if p.Alphabet == "" {
		p.Alphabet = "alphanumeric"
	}
	if named, ok := Alphabets()[p.Alphabet]; ok {
		return p, []rune(named)
	}
	return p, []rune(p.Alphabet)
}

// Check reports what is wrong with the pattern whose settings are length, alphabet and template.
func (p Pattern) Check(r secret.Report) {
	if p.Length < 0 || p.Length > maxLength {
		r.Fail("length", fmt.Sprintf("is not between 1 and %d", maxLength), "leave it out for 40 characters")
		return
	}
	p, letters := p.filled()
	if twice(letters) || !utf8.ValidString(p.Alphabet) {
		r.Fail("alphabet", "has a character twice, or is not UTF-8",
			"write alphanumeric, base64url, digits, hex, lower or printable, or each character once")
		return
	}
	if strings.Count(p.Template, placeholder) != 1 {
		r.Fail("template", "does not have {value} once", "write it as sk-{value}")
	}
	if bits := float64(p.Length) * math.Log2(float64(len(letters))); bits < MinBits {
		need := "a larger alphabet"
		if len(letters) > 1 {
			need = fmt.Sprintf("a length of %d", int(math.Ceil(MinBits/math.Log2(float64(len(letters))))))
		}
		r.Fail("length", fmt.Sprintf("gives a value of %d bits, which can be guessed; %d are needed", int(bits),
			MinBits), "take "+need)
	}
}

func twice(letters []rune) bool {
	seen := make(map[rune]bool, len(letters))
	for _, one := range letters {
		if seen[one] {
			return true
		}
		seen[one] = true
	}
	return false
}

// Generate makes up a value. Each character is as likely as any other.
func (p Pattern) Generate() (secret.Value, error) {
	p, letters := p.filled()
	if len(letters) < 2 || p.Length < 1 || p.Length > maxLength {
		return secret.Value{}, errors.New("generating a value: the alphabet or the length is not one that Check takes")
	}
	most := big.NewInt(int64(len(letters)))
	drawn := make([]rune, p.Length)
	for i := range drawn {
		n, err := rand.Int(rand.Reader, most)
		if err != nil {
			return secret.Value{}, fmt.Errorf("generating a value: %w", err)
		}
		drawn[i] = letters[n.Int64()]
	}
	return secret.NewValue([]byte(strings.Replace(p.Template, placeholder, string(drawn), 1))), nil
}

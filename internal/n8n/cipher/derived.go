package cipher

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"unicode/utf16"

	"sallyport/internal/secret"
)

// unitsOf is a key as JavaScript has it: UTF-16 units. Bytes that are no UTF-8 become U+FFFD, one each.
func unitsOf(key secret.Value) []uint16 { return utf16.Encode([]rune(string(key.Reveal()))) }

// utf8Of is how JavaScript writes units into a hash: half a surrogate pair becomes U+FFFD.
func utf8Of(units []uint16) []byte { return []byte(string(utf16.Decode(units))) }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// InstanceID is n8n's identity, to which the licence is bound: the SHA-256 of the second half of the master key, in
// hexadecimal (n8n-core/dist/instance-settings/instance-settings.js). From 2.20 on it is kept in deployment_key at the
// first start and survives another master key; N8N_INSTANCE_ID is before both. It is no secret.
func InstanceID(master secret.Value) string {
	units := unitsOf(master)
	return hexSum(utf8Of(units[(len(units)+1)/2:]))
}

// JWTSecret signs sessions and API keys: the SHA-256 of every other character of the master key, in hexadecimal
// (n8n/dist/services/jwt.service.js). N8N_USER_MANAGEMENT_JWT_SECRET is before it, and from 2.20 on the row
// signing.jwt.
func JWTSecret(master secret.Value) secret.Value {
	units := unitsOf(master)
	half := make([]uint16, 0, (len(units)+1)/2)
	for i := 0; i < len(units); i += 2 {
		half = append(half, units[i])
	}
	return secret.NewValue([]byte(hexSum(utf8Of(half))))
}

// HMACSecret signs the URLs that resume waiting executions: SHA-256 in hexadecimal (instance-settings.js).
// N8N_HMAC_SIGNATURE_SECRET is before it, and from 2.20 on the row signing.hmac.
func HMACSecret(master secret.Value) secret.Value {
	return secret.NewValue([]byte(hexSum(append([]byte("hmac-signature:"), utf8Of(unitsOf(master))...))))
}

// BinarySigningSecret signs the URLs of binary data: SHA-256 in base64
// (n8n-core/dist/binary-data/binary-data.config.js). N8N_BINARY_DATA_SIGNING_SECRET is before it, and from 2.20 on the
// row signing.binary_data.
func BinarySigningSecret(master secret.Value) secret.Value {
	sum := sha256.Sum256(append([]byte("url-signing:"), utf8Of(unitsOf(master))...))
	return secret.NewValue([]byte(base64.StdEncoding.EncodeToString(sum[:])))
}

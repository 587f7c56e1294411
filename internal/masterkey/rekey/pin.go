package rekey

import (
	"bytes"
	"fmt"

	"sallyport/internal/n8n/cipher"
	"sallyport/internal/secret"
)

// Pins is the environment with which an n8n that derives its signing secrets from the master key (before 2.20) keeps
// those of the old one: lines NAME=value. They are secrets, and as good as the old key was.
func Pins(old secret.Value) secret.Value {
	var b bytes.Buffer
	for _, pin := range []struct {
		name  string
		value []byte
	}{
		{"N8N_USER_MANAGEMENT_JWT_SECRET", cipher.JWTSecret(old).Reveal()},
		{"N8N_HMAC_SIGNATURE_SECRET", cipher.HMACSecret(old).Reveal()},
		{"N8N_BINARY_DATA_SIGNING_SECRET", cipher.BinarySigningSecret(old).Reveal()},
		{"N8N_INSTANCE_ID", []byte(cipher.InstanceID(old))},
	} {
		_, _ = fmt.Fprintf(&b, "%s=%s\n", pin.name, pin.value)
	}
	return secret.NewValue(b.Bytes())
}

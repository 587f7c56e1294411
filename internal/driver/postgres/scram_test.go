package postgres

import (
	"encoding/base64"
	"testing"

	"sallyport/internal/secret"
)

// TestVerifier: the example of RFC 7677, section 3, whose proof and signature come from these keys.
func TestVerifier(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifierWith(secret.NewValue([]byte("pencil")), salt, 4096)
	want := "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:" +
		"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	one, _ := verifier(secret.NewValue([]byte("pencil")))
	if other, _ := verifier(secret.NewValue([]byte("pencil"))); one == other || one == "" {
		t.Error("two verifiers have one salt, or there is none")
	}
	if _, err := verifier(secret.NewValue([]byte("pässword"))); err == nil {
		t.Error("a password was taken that SASLprep may change")
	}
}

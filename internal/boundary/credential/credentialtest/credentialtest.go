// Package credentialtest is what every kind of credential is held to: what it says of itself (Complete), the
// configurations that it takes and refuses (Kind), and what it makes of its settings (Run). Only tests use it.
package credentialtest

import (
	"testing"

	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/testkit/archive"
)

// Kind tests what a kind of credential says of itself, by the archives of testdata/config (archive.Configurations). Run
// builds the credential of the service "one" of builds.txtar.
func Kind(t *testing.T, kind config.CredentialKind) {
	t.Helper()
	archive.Configurations(t, alone(kind), "builds")
}

// alone is a program with one kind of credential, and the store builtin.
func alone(kind config.CredentialKind) config.Kinds {
	return config.Kinds{Stores: []secret.Kind{builtin.Kind()}, Credentials: []config.CredentialKind{kind}}
}

package config

import (
	"net/netip"
	"net/url"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/preset"
	"sallyport/internal/secret"
)

// Surroundings are what the settings of a credential may know of the service that it is of.
type Surroundings struct {
	Upstream     *url.URL          // nil where it is missing
	ClientTLS    bool              // there is a client certificate
	Headers      map[string]string // that the service sets
	AllowPrivate []netip.Prefix
}

// CredentialReport takes what is wrong with the settings of a credential, as secret.Report does: a key is dotted and
// counts from the settings, a message goes on after the key's name, and neither ever quotes a value that may be a
// secret. The other methods check what many kinds have, and leave out what is empty.
type CredentialReport struct {
	secret.Report

	Around Surroundings
	Kind   string // of the credential

	keys   []declare.Field // of the kind
	preset *preset.Preset
	ground ground
}

// ground is what a report knows beside the settings. Keys count from them.
type ground interface {
	lacks(message, hint string) // goes on after the name of what has the credential
	written(key string) bool    // by a person, and not by a preset or a default
	set(key string) bool        // by whatever means
	broken(key string) bool     // an error stands there
}

// Missing reports what the credential lacks: the message goes on after the service's name.
func (r *CredentialReport) Missing(message, hint string) { r.ground.lacks(message, hint) }

// Lacks reports a key that has to be there, with what the declaration and the preset say of it.
func (r *CredentialReport) Lacks(key string) { r.LacksOr(key, "") }

// LacksOr is Lacks for a key beside which there is another way, which or says.
func (r *CredentialReport) LacksOr(key, or string) {
	r.Missing("has a credential of kind "+r.Kind+" without "+key, r.hint(key)+or)
}

func (r *CredentialReport) hint(key string) string {
	hint := ""
	if i := declare.IndexOf(r.keys, key); i >= 0 {
		if hint = r.keys[i].Needed; hint == "" {
			hint = "write " + key + ": " + r.keys[i].Eg
		}
	}
	if what := r.preset.Needs[key]; what != "" {
		hint += ": " + what
	}
	return hint
}

// Needs is what the preset says of a key that the user has to give; "" where it says nothing.
func (r *CredentialReport) Needs(key string) string { return r.preset.Needs[key] }

// UsernameNeeds is what the preset says of the user's name.
func (r *CredentialReport) UsernameNeeds() string { return r.preset.UsernameNeeds }

// Written tells whether a person has set a key, and not a preset or a default.
func (r *CredentialReport) Written(key string) bool { return r.ground.written(key) }

// Set tells whether a key is set, by whatever means.
func (r *CredentialReport) Set(key string) bool { return r.ground.set(key) }

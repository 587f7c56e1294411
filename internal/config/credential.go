package config

import (
	"reflect"

	"sallyport/internal/config/declare"
	"sallyport/internal/config/notation"
	"sallyport/internal/secret"
)

// Credential says what is injected, and where. After Load the settings are complete: what the kind implies is filled
// in, inputs are in their places, and URLs are absolute.
type Credential struct {
	Kind     string             `yaml:"kind" doc:"How the API wants to be shown who calls, which says what other keys there are. docs/credentials.md has an example of each."`
	Settings CredentialSettings `of:"kind"` // nil where the kind is not known

	unread []string // the keys that were written without a kind
}

// LeaveUnread notes keys that are there without a kind that they would go with.
func (c *Credential) LeaveUnread(keys []string) { c.unread = keys }

// Derived tells kinds that obtain a token from kinds that put the secret itself on the wire.
func (c *Credential) Derived() bool { return c.Settings != nil && c.Settings.Class() == Derived }

// Signing tells kinds that sign each request.
func (c *Credential) Signing() bool { return c.Settings != nil && c.Settings.Class() == Signing }

// Slot is where the credential goes.
func (c *Credential) Slot() Slot {
	if c.Settings == nil {
		return Slot{}
	}
	return c.Settings.Slot()
}

// Refs returns every reference in the credential, in the order of the declaration and of names. Inputs are left out:
// they are in their places.
func (c *Credential) Refs() []secret.Ref { return c.appendRefs(nil) }

func (c *Credential) appendRefs(out []secret.Ref) []secret.Ref {
	if c.Settings == nil {
		return out
	}
	return appendRefs(out, reflect.ValueOf(c.Settings).Elem())
}

// ClientTLS is a client certificate for the upstream, and for token endpoints that know the client by it.
type ClientTLS struct {
	Cert secret.Ref `yaml:"cert" eg:"ref+file://sallyport-client.crt" doc:"The certificate chain, PEM, leaf first."`
	Key  secret.Ref `yaml:"key" eg:"ref+file://sallyport-client.key" doc:"Its private key, PEM."`
}

// Replay is how much of a request's body is kept, for sending it once more or for signing it.
type Replay struct {
	Memory Size `yaml:"memory" default:"1MiB" max:"1GiB" doc:"In memory. All requests together keep no more than 256MiB there and 4GiB in files; what finds no room is as if it were too long. The beginnings of bodies (32KiB) that are kept for a dead connection count as well."`
	Total  Size `yaml:"total" default:"64MiB" max:"64GiB" doc:"In memory and in an unlinked temporary file. A longer body streams: it is not sent once more, and where it has to be signed it is refused."`
}

// appendRefs makes no copy of what it looks at: a reload asks for the references of every service several times.
func appendRefs(out []secret.Ref, v reflect.Value) []secret.Ref {
	if x, ok := reflect.TypeAssert[secret.Ref](v); ok {
		if !x.IsZero() {
			out = append(out, x)
		}
		return out
	}
	if x, ok := reflect.TypeAssert[Text](v); ok {
		return append(out, x.Refs()...)
	}
	if v.Type() == reflect.TypeFor[Inputs]() {
		return out
	}
	switch v.Kind() { //nolint:exhaustive // the declaration has references nowhere else
	case reflect.Struct:
		for i := range v.NumField() { //nolint:modernize // Fields would make a StructField of each
			switch v.Field(i).Kind() { // most fields are, and this is asked for often
			case reflect.String, reflect.Bool:
			default:
				out = appendRefs(out, v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out = appendRefs(out, v.Elem())
		}
	case reflect.Map:
		for _, key := range declare.MapKeys(v) {
			out = appendRefs(out, v.MapIndex(reflect.ValueOf(key)))
		}
	case reflect.Interface:
		return notation.RefsWithin(out, v.Interface())
	}
	return out
}

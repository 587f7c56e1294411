package config

import "reflect"

// CredentialChoices are the kinds of credential, and the ways of showing who a client is as "auth NAME".
func CredentialChoices() []string {
	fields, _ := fieldsOf(reflect.TypeFor[Credential]())
	out := fields[indexOf(fields, "kind")].enum
	for _, auth := range fields[indexOf(fields, "auth")].enum {
		out = append(out, "auth "+auth)
	}
	return out
}

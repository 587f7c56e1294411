package credential

import (
	"encoding/base64"
	"errors"
	"strings"

	"sallyport/internal/secret"
)

// basic is RFC 7617: Authorization: Basic base64(user:password). The format dresses the password; user_pass dresses the
// pair.
func basic(s Spec, value secret.Value) (placement, error) {
	if strings.ContainsRune(s.Username, ':') {
		return placement{}, errors.New("the user name has a colon, which Basic authentication cannot carry")
	}
	if err := checkHeaderBytes(value); err != nil {
		return placement{}, err
	}
	pair := s.Username + ":" + dress(s.Format, value)
	if s.UserPass != "" {
		pair = dress(s.UserPass, value)
	}
	forms := [][]byte{[]byte(pair)}
	if s.HideUser {
		forms = append(forms, []byte(s.Username))
	}
	return placement{
		header: authorization(s.Header),
		values: []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))},
		forms:  forms,
	}, nil
}

package credential

import (
	"encoding/base64"
	"fmt"
	"strings"

	"sallyport/internal/boundary/scrub"
	"sallyport/internal/secret"
)

// basic is RFC 7617: Authorization: Basic base64(user:password). The format dresses the password.
func basic(s Spec, value secret.Value) (*Material, error) {
	if strings.ContainsRune(s.Username, ':') {
		return nil, fmt.Errorf("the user name has a colon, which Basic authentication cannot carry")
	}
	if err := checkHeaderBytes(value); err != nil {
		return nil, err
	}
	pair := s.Username + ":" + dress(s.Format, value)
	forms := [][]byte{value.Reveal(), []byte(pair)}
	if s.HideUser {
		forms = append(forms, []byte(s.Username))
	}
	return &Material{
		header: authorization(s.Header),
		values: []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(pair))},
		Forms:  scrub.Compile(forms...),
	}, nil
}

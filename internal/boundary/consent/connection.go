package consent

import (
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// connection is a credential that a person can connect.
type connection struct {
	service    string
	index      int
	credential *config.Credential
}

// connectable finds the credential that SERVICE or SERVICE/N means.
func connectable(c *config.Config, name string) (*connection, error) {
	owner, number, counted := strings.Cut(name, "/")
	svc, ok := c.Services[owner]
	if !ok {
		return nil, service.Unknown(c, owner)
	}
	placements := svc.Placements()
	var found []*connection
	for i := range placements {
		wanted := !counted || number == strconv.Itoa(i+1)
		if placements[i].Kind == config.KindRefreshToken && wanted {
			found = append(found, &connection{owner, i, &placements[i]})
		}
	}
	switch {
	case len(found) == 0:
		return nil, fault.WithHint(fmt.Errorf("%q has no credential of kind %s", name, config.KindRefreshToken), "nothing else needs a person's consent: `sallyport service test` shows whether the credential works")
	case len(found) > 1:
		return nil, fault.WithHint(fmt.Errorf("%q has %d credentials of kind %s", name, len(found), config.KindRefreshToken), "name one by its number: "+owner+"/"+strconv.Itoa(found[0].index+1))
	case found[0].credential.AuthorizeURL == "":
		return nil, fault.WithHint(fmt.Errorf("%q has no page of consent", name), "set `authorize_url` of the credential")
	}
	return found[0], nil
}

package consent

import (
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// connection is a credential that a person can connect.
type connection struct {
	service  string
	index    int
	settings credential.Consenting
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
		if settings, ok := placements[i].Settings.(credential.Consenting); ok && wanted {
			found = append(found, &connection{owner, i, settings})
		}
	}
	switch {
	case len(found) == 0:
		return nil, fault.WithHint(fmt.Errorf("%q has no credential of kind %s", name, consentKinds(c)),
			"nothing else needs a person's consent: `sallyport service test` shows whether the credential works")
	case len(found) > 1:
		return nil, fault.WithHint(fmt.Errorf("%q has %d credentials of kind %s", name, len(found), consentKinds(c)),
			"name one by its number: "+owner+"/"+strconv.Itoa(found[0].index+1))
	case !found[0].settings.HasPage():
		return nil, fault.WithHint(fmt.Errorf("%q has no page of consent", name),
			"set `authorize_url` of the credential")
	}
	return found[0], nil
}

// consentKinds names the kinds of credential that a person can connect.
func consentKinds(c *config.Config) string {
	var names []string
	for _, kind := range c.Kinds().Credentials {
		if _, ok := kind.Settings().(credential.Consenting); ok {
			names = append(names, kind.Name)
		}
	}
	return strings.Join(names, " or ")
}

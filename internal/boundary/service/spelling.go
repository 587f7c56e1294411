package service

import (
	"net/http"

	"sallyport/internal/boundary/credential"
	"sallyport/internal/config"
)

// Spelling is the name of a header that the configuration does not write in canonical form.
type Spelling struct{ Canonical, Written string }

// spelled lists the headers that the service and its credentials set, where their names are not canonical.
func spelled(c *config.Service) (list []Spelling) {
	add := func(written string) {
		if canonical := http.CanonicalHeaderKey(written); canonical != written {
			list = append(list, Spelling{canonical, written})
		}
	}
	placements := c.Placements()
	for i := range placements {
		add(placements[i].Slot().Header)
		if s, ok := placements[i].Settings.(credential.Beside); ok {
			for _, name := range s.Headers() {
				add(name)
			}
		}
	}
	for name := range c.Headers {
		add(name)
	}
	return list
}

package cli

import (
	"bytes"
	_ "embed" // the page

	"sallyport/internal/fleet"
)

//go:embed fleet.page
var fleetHead string

// fleetPage is docs/fleet.md: what is the same for all kinds, then a section of each.
func fleetPage(kinds []fleet.Kind) []byte {
	page := bytes.NewBufferString(fleetHead)
	for _, kind := range kinds {
		page.WriteString("\n" + kind.Page)
	}
	return page.Bytes()
}

package credential

import (
	_ "embed" // the page
	"strings"

	"sallyport/internal/config"
)

//go:embed page.md
var page string

// Page returns docs/credentials.md: what holds for all kinds, and the page of each where those of its class stand.
func Page(kinds []config.CredentialKind) []byte {
	of := make(map[config.Class]string)
	for _, kind := range kinds {
		class := kind.Settings().Class()
		of[class] += "##" + strings.TrimSpace(kind.Page) + "\n\n"
	}
	return []byte(strings.NewReplacer(
		"{static}\n\n", of[config.Static], "{nothing}\n\n", of[config.Nothing],
		"{derived}\n\n", of[config.Derived], "{signing}\n\n", of[config.Signing],
	).Replace(page))
}

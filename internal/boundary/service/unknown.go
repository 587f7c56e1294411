package service

import (
	"fmt"

	"sallyport/internal/config"
	"sallyport/internal/config/wording"
	"sallyport/internal/fault"
)

// Unknown says that the configuration has no service of this name, and which one was probably meant.
func Unknown(c *config.Config, name string) error {
	hint := "`sallyport service list` shows the names"
	if near := wording.Nearest(name, c.ServiceNames()); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return fault.WithHint(fmt.Errorf("there is no service %q", name), hint)
}

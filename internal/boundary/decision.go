package boundary

import (
	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
)

// decision is what steps 1 to 4 found out about a request. It is written by decide.go alone, and by nobody once decide
// has returned: what comes later reads it, and writes its result.
type decision struct {
	view       *View // what was decided about: the caller's, without the token where that stood in the path
	grant      *token.Grant
	scope      Scope  // of grant, by the configuration that decided
	presented  string // the token, for the check that it leaves nowhere
	inSlot     bool   // where the API's own key would stand
	service    *service.Service
	authorised bool // all of it is permitted, and on record
}

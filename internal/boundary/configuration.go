package boundary

import (
	"net/netip"

	"sallyport/internal/boundary/service"
	"sallyport/internal/boundary/token"
)

// Configuration is all of the configuration that decides about a request. It is immutable, and a request loads it once:
// at every instant, one whole configuration decides.
type Configuration struct {
	Services *service.Table
	Scopes   *token.Scopes // of tokens; nil: each has the one that it was issued with
}

// configuration is the active one, and the one that will be, which can only refuse until then.
type configuration struct {
	Configuration

	next *Configuration // nil: none is on its way
}

// Scope is what authorisation asks of a verified token.
type Scope interface {
	Allows(service, method string, source netip.Addr) (ok bool, why string)
}

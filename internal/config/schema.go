package config

import (
	"reflect"

	"sallyport/internal/config/describe"
)

// Schema returns the JSON Schema (draft 2020-12) of sallyport.yaml, for editors. It knows shapes, and which keys go
// with which kind; not what values say of each other: `sallyport config check` does.
func Schema(kinds Kinds) []byte {
	return describe.Schema("sallyport.yaml", reflect.TypeFor[Config](), families(), kinds.familyOf)
}

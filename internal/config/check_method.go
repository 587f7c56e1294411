package config

import (
	"sallyport/internal/config/notation"
)

// methodsOf warns of methods that do not exist.
func (k *checker) methodsOf(at string, list ...string) {
	for _, m := range list {
		if doubt, hint := notation.MethodDoubt(m); doubt != "" && notation.IsMethod(m) {
			k.warn(at, doubt, hint)
		}
	}
}

package app

import (
	"sallyport/internal/config"
	"sallyport/internal/secret"
	"sallyport/internal/secret/awssm"
	"sallyport/internal/secret/azurekv"
	"sallyport/internal/secret/builtin"
	"sallyport/internal/secret/env"
	"sallyport/internal/secret/exec"
	"sallyport/internal/secret/file"
	"sallyport/internal/secret/gcpsm"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/secret/swarm"
	"sallyport/internal/secret/vault"
)

// Kinds are the kinds that this program has. A new one is its folder and a line here: configuration, schema, reference and
// commands know it by what it says of itself.
func Kinds() config.Kinds {
	return config.Kinds{Stores: []secret.Kind{
		builtin.Kind(),
		vault.Kind(),
		awssm.Kind(),
		azurekv.Kind(),
		gcpsm.Kind(),
		kubernetes.Kind(),
		file.Kind(),
		env.Kind(),
		exec.Kind(),
		swarm.Kind(),
	}}
}

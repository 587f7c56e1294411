package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/fault"
	"sallyport/internal/masterkey/install"
	"sallyport/internal/secret/kubernetes"
	"sallyport/internal/secret/swarm"
)

// defaultDocker is where Docker listens unless told otherwise.
const defaultDocker = "unix:///var/run/docker.sock"

// SwarmSecrets are the secrets of a swarm behind a Docker host; "" is what DOCKER_HOST says, else Docker's own socket.
// It contacts nobody. Close it.
func SwarmSecrets(host string) (secrets install.SwarmSecrets, closed func() error, err error) {
	if host == "" {
		host = os.Getenv("DOCKER_HOST")
	}
	if host == "" {
		host = defaultDocker
	}
	m, err := swarm.NewManager(swarm.Options{Host: host})
	if err != nil {
		return nil, nil, fault.WithExit(err, fault.ExitUsage)
	}
	return m, m.Close, nil
}

// KubernetesOptions say which cluster and namespace. What is "" is as kubectl has it: the kubeconfig of KUBECONFIG or
// ~/.kube/config, its current context, and that one's namespace; where there is no kubeconfig, the pod's own account.
type KubernetesOptions struct{ Kubeconfig, Context, Namespace string }

// KubernetesSecrets are the Secrets of a namespace. It contacts nobody. Close it.
func KubernetesSecrets(o KubernetesOptions) (secrets install.KubernetesSecrets, closed func() error, err error) {
	if o.Kubeconfig, err = kubeconfig(o.Kubeconfig); err != nil {
		return nil, nil, err
	}
	s, err := kubernetes.New(kubernetes.Options{Kubeconfig: o.Kubeconfig, Context: o.Context, Namespace: o.Namespace})
	if err != nil {
		return nil, nil, fault.WithHint(err,
			"name the cluster: --kubeconfig FILE (or KUBECONFIG, or ~/.kube/config), and --context NAME for another "+
				"than its current one")
	}
	return s, s.Close, nil
}

func kubeconfig(named string) (string, error) {
	if named == "" {
		named = os.Getenv("KUBECONFIG")
	}
	if strings.ContainsRune(named, filepath.ListSeparator) {
		return "", fault.WithExit(fault.WithHint(fmt.Errorf("KUBECONFIG names several files"),
			"name the one: --kubeconfig FILE"), fault.ExitUsage)
	}
	if home, err := os.UserHomeDir(); named == "" && err == nil {
		if file := filepath.Join(home, ".kube", "config"); isFile(file) {
			return file, nil
		}
	}
	return named, nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

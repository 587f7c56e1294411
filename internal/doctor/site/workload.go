package site

import (
	"cmp"
	"context"
	"os"
	"slices"

	"sallyport/internal/n8n/environment"
	"sallyport/internal/n8n/process"
	"sallyport/internal/secret"
)

// maxWorkloads bounds how many containers or pods one source is asked about.
const maxWorkloads = 1000

// Workload is an n8n that runs, as what runs it tells of it.
type Workload struct {
	Name    string // for people: "container n8n-1", "pod prod/n8n-0 (n8n)"
	Way     string // docker, kubernetes, process
	Role    environment.Role
	Image   string // its name, where it is of one
	Version string // of n8n, where that is known
	Vars    map[string]Var
	Mounts  []Mount
	Labels  map[string]string
	Blind   string // why its variables are not known in full; "" when they are
}

// Var is a variable of a workload's environment.
type Var struct {
	Value secret.Value // as the container is made with it; zero where From tells where it comes from
	From  string       // "secret n8n-key, key key", "config map n8n"; "" stands in the workload itself
	Open  bool         // what it comes from is readable like the workload itself: a config map
}

// Mount is something that is mounted into a workload.
type Mount struct {
	Kind string // bind, volume, tmpfs, secret, config, configMap, emptyDir, persistentVolumeClaim, …; Untold
	Name string // of Untold: why
	Path string // in the workload
}

// Untold is the kind of a mount that may be there, where what runs the workload does not tell.
const Untold = "untold"

// Lookup is the value of a variable as n8n reads it; false where it is not set, or its value is not known.
func (w Workload) Lookup(name string) (string, bool) {
	v, ok := w.Vars[name]
	if !ok || v.From != "" {
		return "", false
	}
	return environment.Normalize(string(v.Value.Reveal())), true
}

// Source is where workloads were looked for.
type Source struct {
	Name      string // "Docker at unix:///var/run/docker.sock"
	Workloads []Workload
	Err       error // why it could not be looked at; it may have a hint
}

// Sources looks for every n8n that runs where the site says. Without a place that anybody has named it is the n8n that
// runs beside this process, if there is one.
func (s *Site) Sources(ctx context.Context) []Source {
	var all []Source
	for _, host := range s.DockerHosts {
		list, err := s.containers(ctx, host)
		all = append(all, Source{Name: "Docker at " + host, Workloads: list, Err: err})
	}
	if s.Kube != nil {
		list, namespace, err := s.pods(ctx)
		all = append(all, Source{
			Name: "Kubernetes, namespace " + cmp.Or(namespace, "default"), Workloads: list,
			Err: err,
		})
	}
	if here, ok := s.Beside(); ok {
		all = append(all, Source{Name: "this container", Workloads: []Workload{here}})
	}
	for i := range all {
		slices.SortFunc(all[i].Workloads, func(a, b Workload) int { return cmp.Compare(a.Name, b.Name) })
	}
	return all
}

// Beside is the n8n that runs in the same container as this process, if one does.
func (s *Site) Beside() (Workload, bool) {
	if s.Here != nil {
		return s.Here()
	}
	return beside()
}

func beside() (Workload, bool) {
	p, ok := process.Find(process.Proc)
	if !ok {
		return Workload{}, false
	}
	w := Workload{
		Name: p.String(), Way: "process", Role: p.Role, Version: p.Version(), Vars: make(map[string]Var),
	}
	if p.Hidden != nil {
		w.Blind = p.Hidden.Error()
		return w, true
	}
	for _, name := range Asked() {
		if value, ok := p.Lookup(name); ok {
			w.Vars[name] = Var{Value: secret.NewValue([]byte(value))}
		}
	}
	if _, err := os.Stat(environment.SettingsPath(p.Lookup)); err == nil {
		w.Mounts = append(w.Mounts, Mount{Kind: "file", Path: environment.SettingsPath(p.Lookup)})
	}
	return w, true
}

// Asked are the variables of n8n that the checks look at.
func Asked() []string {
	return []string{
		environment.KeyName, environment.KeyFileName, "N8N_VERSION", "N8N_BLOCK_ENV_ACCESS_IN_NODE",
		"N8N_SSRF_PROTECTION_ENABLED", "N8N_SSRF_ALLOWED_HOSTNAMES", "N8N_SSRF_ALLOWED_IP_RANGES",
		"N8N_COMMUNITY_PACKAGES_ENABLED", "N8N_UNVERIFIED_PACKAGES_ENABLED", "N8N_RUNNERS_ENABLED", "N8N_RUNNERS_MODE",
		"NODES_EXCLUDE", "NODE_FUNCTION_ALLOW_BUILTIN", "NODE_FUNCTION_ALLOW_EXTERNAL", "N8N_RESTRICT_FILE_ACCESS_TO",
		"N8N_ENFORCE_SETTINGS_FILE_PERMISSIONS", "N8N_OUTBOUND_PROXY_MODE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
		"N8N_LOG_LEVEL", "N8N_PUBLIC_API_DISABLED", "N8N_USER_FOLDER", "HOME", "CREDENTIALS_OVERWRITE_DATA",
	}
}

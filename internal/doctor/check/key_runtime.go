package check

import (
	"context"
	_ "embed" // the page
	"path"
	"strings"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/n8n/environment"
)

//go:embed key-runtime.md
var keyRuntimePage string

func keyRuntime() doctor.Check {
	return doctor.Check{
		ID: "key-runtime", Title: "Every n8n that runs takes the master key from a secret of its orchestrator",
		Severity: doctor.Critical,
		Asks: "The Docker engine, the Kubernetes API server, or the n8n beside this process: where do n8n's " +
			"containers " +
			"and pods have N8N_ENCRYPTION_KEY from?",
		Guide: []string{doctor.GuideKey}, Page: keyRuntimePage,
		Look: func(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
			return each(ctx, on, func(w site.Workload) []doctor.Seen { return []doctor.Seen{keyOf(w)} })
		},
	}
}

const (
	installKey = "`sallyport key install` puts it into a secret and prints the lines that name it; a key that stood " +
		"in " +
		"the open is changed with `sallyport key rekey --leaked`"
	toInspect = "whoever may inspect it reads the key"
)

// keyOf says where a workload has its master key from. N8N_ENCRYPTION_KEY is before N8N_ENCRYPTION_KEY_FILE, as n8n
// reads them.
func keyOf(w site.Workload) doctor.Seen {
	if v, ok := w.Vars[environment.KeyName]; ok {
		return keyVariable(w, v)
	}
	if v, ok := w.Vars[environment.KeyFileName]; ok {
		if v.From != "" {
			return doctor.Dark(w.Name, "the name of the key's file comes from "+v.From, "write the name itself")
		}
		file, _ := w.Lookup(environment.KeyFileName)
		return keyFile(w, file)
	}
	if w.Blind != "" {
		return doctor.Dark(w.Name, "its variables are not known in full: "+w.Blind,
			"name N8N_ENCRYPTION_KEY_FILE in the workload itself, or run doctor in n8n's container")
	}
	return doctor.Bad(w.Name, "no key is given to it: n8n uses the one in its settings file, or makes one for itself",
		installKey)
}

func keyVariable(w site.Workload, v site.Var) doctor.Seen {
	switch {
	case v.Open:
		return doctor.Bad(w.Name, "N8N_ENCRYPTION_KEY comes from "+v.From+": "+toInspect, installKey)
	case v.From != "":
		return doctor.Good(w.Name, "N8N_ENCRYPTION_KEY comes from "+v.From)
	}
	value, _ := w.Lookup(environment.KeyName)
	if problem, hint := environment.KeyProblem(value, nil); problem != "" {
		return doctor.Bad(w.Name, "N8N_ENCRYPTION_KEY "+problem, hint)
	}
	if w.Way == "process" {
		return doctor.Doubtful(w.Name, "N8N_ENCRYPTION_KEY is in the environment of the process, which is a file for "+
			"whoever can read files as n8n", "N8N_ENCRYPTION_KEY_FILE leaves it out of the environment")
	}
	return doctor.Bad(w.Name, "N8N_ENCRYPTION_KEY stands in its environment: "+toInspect, installKey)
}

// keyFile judges where the file with the key is mounted from.
func keyFile(w site.Workload, file string) doctor.Seen {
	m := mountAt(w, file)
	where := "N8N_ENCRYPTION_KEY_FILE is " + file
	switch kind := m.Kind; {
	case w.Way == "process" && (strings.HasPrefix(file, "/run/secrets/") || strings.HasPrefix(file,
		"/var/run/secrets/")),
		w.Way == "docker" && strings.HasPrefix(file, "/run/secrets/") && kind == "bind", // Compose's secrets are files
		kind == "secret", kind == "csi", kind == "projected", kind == "tmpfs":
		return doctor.Good(w.Name, where+", a secret of the orchestrator")
	case kind == "configMap", kind == "config":
		what := map[string]string{"configMap": "config map ", "config": "the swarm's config "}[kind]
		return doctor.Bad(w.Name, where+", from "+what+m.Name+": "+toInspect, installKey)
	case kind == site.Untold:
		return doctor.Dark(w.Name, where+", and what is mounted there is not told: "+m.Name,
			"--docker-host names a manager of the swarm, or one that may GET services")
	case kind == "bind", kind == "hostPath":
		return doctor.Doubtful(w.Name, where+", the file "+m.Name+" of the host",
			"make it a secret of the orchestrator; until then, it may be readable for root and n8n alone")
	case kind != "":
		return doctor.Bad(w.Name, where+", on volume "+m.Name+": the volume and its backups hold the key", installKey)
	case w.Way == "process":
		return doctor.Doubtful(w.Name, where+", and what is mounted there cannot be seen from inside",
			"--docker-host or --kubeconfig tells where it is from")
	}
	return doctor.Bad(w.Name, where+", where nothing is mounted: the file is a part of the image, or not there",
		installKey)
}

// mountAt is the mount that a file of a workload is in.
func mountAt(w site.Workload, file string) (best site.Mount) {
	for _, m := range w.Mounts {
		at := path.Clean(m.Path)
		if (file == at || strings.HasPrefix(file, strings.TrimSuffix(at, "/")+"/")) && len(at) >= len(best.Path) {
			best = m
			best.Path = at
		}
	}
	return best
}

package nomad

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/fleet"
)

// describe is a group as the port has it. Nodes are named by the whole id of their allocation here.
func (f *Fleet) describe(unit string, j *job, g *group, all []allocation, deployments []deployment) fleet.Unit {
	u := fleet.Unit{
		Name: unit, Generation: "at " + g.Meta[metaRestart], Revision: strconv.FormatUint(j.Version, 10), Want: g.Count,
		Grace: stopGrace,
	}
	if j.Stop {
		u.Want = 0
	}
	t := taskOf(g)
	if t != nil && t.KillTimeout > 0 {
		u.Grace = t.KillTimeout
	}
	ready := 0
	for i := range all {
		a := &all[i]
		if a.TaskGroup != g.Name || !alive(a) {
			continue
		}
		n := fleet.Node{Name: a.ID, Way: f.way(a.ID), Instance: instance(a), Ready: healthy(a, j)}
		if t != nil && len(g.Tasks) > 1 {
			n.Way = f.way(a.ID + "/" + t.Name)
		}
		if n.Ready {
			ready++
		}
		u.Nodes = append(u.Nodes, n)
	}
	slices.SortFunc(u.Nodes, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
	u.State, u.Problem = state(j, g, &u, ready, deployments)
	return u
}

// way is how the nomad command reaches an allocation in this cluster. Its token is that of NOMAD_TOKEN: the fleet's own
// need not be allowed to run programs.
func (f *Fleet) way(where string) fleet.Way {
	o := &f.reached
	return fleet.NewWay("nomad", where, "address", o.Address, "region", o.Region, "namespace", o.Namespace, "ca", o.CA,
		"cert", o.Cert, "key", o.Key, "server_name", o.ServerName)
}

// taskOf is the task whose name or image says n8n, where exactly one of several does.
func taskOf(g *group) (found *task) {
	for i := range g.Tasks {
		t := &g.Tasks[i]
		image, _ := t.Config.Image.(string)
		if len(g.Tasks) > 1 && !strings.Contains(t.Name, "n8n") && !strings.Contains(image, "n8n") {
			continue
		}
		if found != nil {
			return nil
		}
		found = t
	}
	return found
}

// alive tells whether an allocation has processes, or is about to have some. One that is told to stop has them until
// its client says that they have ended.
func alive(a *allocation) bool {
	return slices.Contains([]string{"pending", "running", "unknown"}, a.ClientStatus) &&
		(a.DesiredStatus == "run" || a.ClientStatus == "running")
}

// healthy tells whether an allocation runs what the job says now, and its deployment, where it has one, found it
// healthy.
func healthy(a *allocation, j *job) bool {
	return a.DesiredStatus == "run" && a.ClientStatus == "running" && a.JobVersion == j.Version &&
		(a.DeploymentStatus == nil || a.DeploymentStatus.Healthy == nil || *a.DeploymentStatus.Healthy)
}

// instance changes with each process of an allocation.
func instance(a *allocation) string {
	var text strings.Builder
	text.WriteString(a.ID)
	for _, name := range slices.Sorted(maps.Keys(a.TaskStates)) {
		fmt.Fprintf(&text, " %d", a.TaskStates[name].Restarts)
	}
	return text.String()
}

func state(j *job, g *group, u *fleet.Unit, ready int, deployments []deployment) (state fleet.State, problem string) {
	if u.Want == 0 {
		if len(u.Nodes) == 0 {
			return fleet.Stopped, ""
		}
		return fleet.Changing, fmt.Sprintf("%d allocations end", len(u.Nodes))
	}
	if why := failed(j, g, deployments); why != "" {
		return fleet.Failed, why
	}
	if len(deployments) > 0 && deployments[0].JobVersion == j.Version {
		switch d := deployments[0]; d.Status {
		case "running", "pending", "blocked", "unblocking", "initializing", "paused":
			of := d.TaskGroups[g.Name]
			if of.DesiredCanaries > 0 && !of.Promoted {
				return fleet.Changing, "its canaries wait for a promotion: `nomad deployment promote`"
			}
			return fleet.Changing, fmt.Sprintf("its deployment is %s: %d of %d allocations are healthy", d.Status,
				of.HealthyAllocs, of.DesiredTotal)
		}
	}
	if ready == g.Count && len(u.Nodes) == g.Count {
		return fleet.Ready, ""
	}
	return fleet.Changing, fmt.Sprintf("%d of %d allocations are healthy", ready, g.Count)
}

// failed tells of a deployment that Nomad has given up, also where it has gone back by itself since (auto_revert).
func failed(j *job, g *group, deployments []deployment) string {
	for i, d := range deployments {
		of, has := d.TaskGroups[g.Name]
		switch {
		case i > 1 || d.Status != "failed" || !has:
			continue
		case d.JobVersion == j.Version:
			return "its deployment has failed: `nomad deployment status` says why"
		case i == 1 && of.AutoRevert && of.UnhealthyAllocs > 0 && d.JobVersion+1 == j.Version:
			return "its deployment has failed, and Nomad went back to the version before"
		}
	}
	return ""
}

// address is where an allocation can be reached, "" where it has no address.
func (f *Fleet) address(ctx context.Context, id string) (string, error) {
	var a struct {
		NetworkStatus      *struct{ Address string }
		AllocatedResources *struct {
			Shared struct{ Networks []struct{ IP string } }
		}
	}
	if err := f.get(ctx, "allocation/"+url.PathEscape(id), &a); err != nil {
		return "", err
	}
	found := ""
	if a.AllocatedResources != nil {
		for _, n := range a.AllocatedResources.Shared.Networks {
			found = n.IP
		}
	}
	if a.NetworkStatus != nil && a.NetworkStatus.Address != "" {
		found = a.NetworkStatus.Address // in a network of its own (bridge)
	}
	ip, err := netip.ParseAddr(found)
	if err != nil {
		return "", nil //nolint:nilerr // it has none that can be used
	}
	return ip.String(), nil
}

package swarm

import (
	"cmp"
	"context"
	"sync"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fleet"
	"sallyport/internal/program"
)

// machines says how the containers of a swarm are reached. An engine runs programs in its own containers alone, and
// knows a container of another machine by nothing but its id. It is safe for concurrent use.
type machines struct {
	docker *client.Client
	host   string            // the engine that is asked
	others map[string]string // engines by hostname

	mu    sync.Mutex
	own   string            // the machine of that engine, by its id in the swarm; "" is not known yet
	names map[string]string // hostnames by id
}

// reach says how a task's container is reached, or where it is.
func (m *machines) reach(ctx context.Context, n *fleet.Node, t api.Task) {
	c := t.Status.ContainerStatus
	if c == nil || c.ContainerID == "" || t.NodeID == "" {
		return
	}
	own, name := m.find(ctx, t.NodeID)
	host := m.others[name]
	switch {
	case own == t.NodeID:
		host = m.host
	case own == "" && host == "":
		n.Away = &fleet.Away{
			Inside: "docker exec " + c.ContainerID,
			Hint:   "the engine does not say which machine it is: allow GET /info and /nodes in the proxy before it",
		}
		return
	case host == "":
		n.Away = &fleet.Away{
			Machine: program.Clean(cmp.Or(name, t.NodeID)), Inside: "docker exec " + c.ContainerID,
			Hint: "name the Docker API of that machine: `machines` of the fleet",
		}
		return
	}
	n.Way = fleet.NewWay("docker", c.ContainerID, "host", host)
}

// find returns the machine of the engine that is asked, and the hostname of another one. What cannot be found out is
// "": a proxy before the engine may not allow the question, and a restart needs no reply to it.
func (m *machines) find(ctx context.Context, id string) (own, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if m.own == "" {
		if found, err := m.docker.Info(ctx, client.InfoOptions{}); err == nil {
			m.own = found.Info.Swarm.NodeID
		}
	}
	if m.own == id {
		return m.own, ""
	}
	if _, known := m.names[id]; !known {
		if found, err := m.docker.NodeInspect(ctx, id, client.NodeInspectOptions{}); err == nil {
			if m.names == nil {
				m.names = make(map[string]string)
			}
			m.names[id] = found.Node.Description.Hostname
		}
	}
	return m.own, m.names[id]
}

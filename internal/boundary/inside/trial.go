package inside

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"sallyport/internal/boundary/assemble"
	"sallyport/internal/boundary/credential"
	"sallyport/internal/boundary/credential/derive"
	"sallyport/internal/boundary/credential/derive/pool"
	"sallyport/internal/boundary/egress"
	"sallyport/internal/boundary/service"
	"sallyport/internal/config"
	"sallyport/internal/fault"
)

// Trial is a call to a service whose credential is made of secrets that are not the active ones. Nothing of it is
// shared with the service that serves callers: no connection, no derived token, no limit.
type Trial struct {
	Name    string
	Service *config.Service
	Held    assemble.Held // what its references name
	Own     *egress.Own   // the gate's listeners, which are not dialled; may be nil
	// puts a call to a token endpoint on record before it is made
	Mint func(ctx context.Context, name string) error
}

// Do makes the call by c, whose Services are not looked at. A credential that is minted is minted of Held, and dropped.
func (t *Trial) Do(ctx context.Context, c *Caller, req *http.Request) (*http.Response, error) {
	for _, one := range t.Service.Placements() {
		if _, ok := one.Settings.(credential.Consenting); ok {
			return nil, fault.WithHint(fmt.Errorf("calling service %q with other secrets: it would spend the refresh "+
				"token that a person has given consent for", t.Name), "name another service in test, or leave test out")
		}
	}
	svc, err := service.New(t.Name, t.Service)
	if err != nil {
		return nil, err
	}
	defer svc.Close()
	if t.Own != nil {
		svc.Shun(t.Own)
	}
	tokens := pool.New(pool.Options{Vault: new(memory), Owner: alone{}, Record: t.Mint})
	defer tokens.Close()
	if err := assemble.New(tokens).Publish(ctx, svc, t.Held); err != nil {
		return nil, err
	}
	trial := *c
	trial.Services = service.NewTable([]*service.Service{svc})
	return trial.Do(ctx, t.Name, req)
}

// memory is the Vault of one trial.
type memory struct {
	mu   sync.Mutex
	kept []kept
}

type kept struct {
	name    string
	state   derive.State
	version int64
}

// Load implements derive.Vault.
func (m *memory) Load(_ context.Context, name string) (derive.State, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.index(name); i >= 0 {
		return m.kept[i].state, m.kept[i].version, nil
	}
	return derive.State{}, 0, nil
}

// Save implements derive.Vault.
func (m *memory) Save(_ context.Context, name string, s derive.State, version int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.index(name)
	switch {
	case i < 0 && version == 0:
		m.kept = append(m.kept, kept{name, s, 1})
	case i < 0 || m.kept[i].version != version:
		return derive.ErrStale
	default:
		m.kept[i].state, m.kept[i].version = s, version+1
	}
	return nil
}

func (m *memory) index(name string) int {
	return slices.IndexFunc(m.kept, func(k kept) bool { return k.name == name })
}

// alone owns every token: nobody else knows of them.
type alone struct{}

// Acquire implements derive.Owner.
func (alone) Acquire(context.Context, string) (release func(), err error) { return func() {}, nil }

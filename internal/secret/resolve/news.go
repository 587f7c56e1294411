package resolve

import (
	"sync"

	"sallyport/internal/secret"
)

// news collects changes until someone takes them.
type news struct {
	arrived chan struct{}
	mu      *sync.Mutex
	changes map[secret.Ref]bool // whether the value is the same
}

func newNews() news {
	return news{arrived: make(chan struct{}, 1), mu: new(sync.Mutex), changes: make(map[secret.Ref]bool)}
}

func (n *news) add(list []Change) {
	if len(list) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range list {
		same, known := n.changes[c.Ref]
		n.changes[c.Ref] = c.Same && (same || !known)
	}
	poke(n.arrived)
}

func (n *news) take() []Change {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]Change, 0, len(n.changes))
	for ref, same := range n.changes {
		list = append(list, Change{Ref: ref, Same: same})
	}
	clear(n.changes)
	return list
}

package swarm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	api "github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/swarm"
	"sallyport/internal/testkit/docker"
)

var shared docker.Shared

func TestMain(m *testing.M) {
	if call := os.Getenv("SWARM_TEST_CALL"); call != "" {
		inContainer(strings.Fields(call))
		return
	}
	os.Exit(shared.Main(m))
}

// answer is what a call in a container returned.
type answer struct {
	Value   string
	Version secret.Version
	Err     string
}

// inContainer is this program as it runs in a container of a service: METHOD STORE PATH [VERSION].
func inContainer(call []string) {
	ctx := context.Background()
	o := swarm.Options{Host: "unix://" + docker.Socket, Timeout: time.Minute}
	manager, err := swarm.NewManager(o)
	if err != nil {
		panic(err)
	}
	var store secret.Store = manager
	if call[1] == "store" {
		if store, err = swarm.New(swarm.Options{}); err != nil {
			panic(err)
		}
	}
	call = append(call, "")
	var a answer
	switch call[0] {
	case "get":
		var value secret.Value
		value, a.Version, err = store.Get(ctx, call[2], call[3])
		a.Value = string(value.Reveal())
	case "rollback":
		a.Version, err = manager.Rollback(ctx, call[2], call[3])
	}
	if err != nil {
		a.Err = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(a)
}

// callIn makes a call in each container of a service, which all answer alike.
func callIn(t *testing.T, e *docker.Engine, service, call string) answer {
	t.Helper()
	outs := e.Exec(t, service, []string{"SWARM_TEST_CALL=" + call}, docker.TestBinary)
	var first answer
	for i, out := range outs {
		var a answer
		if err := json.Unmarshal([]byte(out), &a); err != nil {
			t.Fatalf("%s: %v: %q", call, err, out)
		}
		if i == 0 {
			first = a
		}
		if diff := cmp.Diff(first, a); diff != "" {
			t.Errorf("%s: the containers differ: %s", call, diff)
		}
	}
	return first
}

func newManager(t *testing.T) (*docker.Engine, *swarm.Manager) {
	t.Helper()
	e := shared.Engine(t)
	return e, manage(t, swarm.Options{Host: e.Host, Timeout: time.Minute})
}

func put(t *testing.T, m *swarm.Manager, path, value string) secret.Version {
	t.Helper()
	v, err := m.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatalf("%v (hint %q)", err, fault.HintOf(err))
	}
	return v
}

// docks returns what Docker has of a secret, by name.
func docks(t *testing.T, e *docker.Engine, path string) map[string]api.Secret {
	t.Helper()
	list, err := e.Client.SecretList(t.Context(),
		client.SecretListOptions{Filters: make(client.Filters).Add("label", "sallyport.name="+path)})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]api.Secret)
	for _, one := range list.Items {
		all[one.Spec.Name] = one
	}
	return all
}

func mounting(t *testing.T, e *docker.Engine, path, name, target string) *api.SecretReference {
	t.Helper()
	one, ok := docks(t, e, path)[name]
	if !ok {
		t.Fatalf("Docker has no secret %q", name)
	}
	return docker.Mount(one.ID, name, target)
}

func TestPut(t *testing.T) {
	e, m := newManager(t)
	one, two := put(t, m, "put/key", "a"), put(t, m, "put/key", strings.Repeat("x", swarm.MaxValue))
	if one.ID != "1" || two.ID != "2" || !two.Current || two.Created.IsZero() || two.Created.Location() != time.UTC {
		t.Errorf("got %+v, %+v", one, two)
	}
	all := docks(t, e, "put/key")
	if len(all) != 2 {
		t.Errorf("Docker has %d secrets", len(all))
	}
	labels := all[swarm.DockerName("put/key", 2)].Spec.Labels
	if diff := cmp.Diff(map[string]string{"sallyport.name": "put/key", "sallyport.version": "2"}, labels); diff != "" {
		t.Error(diff)
	}
	history, err := m.History(t.Context(), "put/key")
	one.Current = false
	if diff := cmp.Diff([]secret.Version{two, one}, history); diff != "" || err != nil {
		t.Errorf("history: %v %s", err, diff)
	}
	_, _, err = m.Get(t.Context(), "put/key", "")
	wantErr(t, err, secret.ErrDenied, "--secret-add source="+swarm.DockerName("put/key", 2)+
		",target=put/key,uid=UID,gid=GID,mode=0400 SERVICE")
	_, _, err = m.Get(t.Context(), "put/key", "1")
	wantErr(t, err, secret.ErrDenied, "--secret-add source="+swarm.DockerName("put/key", 1)+",target=")
	_, err = m.Rollback(t.Context(), "put/key", "1")
	wantErr(t, err, secret.ErrDenied, "needs no value")
	for path, want := range map[string]error{"put/key": secret.ErrVersionGone, "put/nothing": secret.ErrNotFound} {
		if _, _, err = m.Get(t.Context(), path, "3"); !errors.Is(err, want) {
			t.Errorf("version 3 of %s: %v", path, err)
		}
		if _, err = m.Rollback(t.Context(), path, "3"); !errors.Is(err, want) {
			t.Errorf("rolling back %s: %v", path, err)
		}
	}
	_, err = m.History(t.Context(), "put/nothing")
	if !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("history of nothing: %v", err)
	}
}

func TestList(t *testing.T) {
	_, m := newManager(t)
	for _, path := range []string{"list/b", "list/a", "list/b", "listless"} {
		put(t, m, path, "x")
	}
	entries, err := m.List(t.Context(), "list/")
	if err != nil || len(entries) != 2 || entries[0].Path != "list/a" || entries[1].Path != "list/b" ||
		entries[1].Version.ID != "2" || !entries[1].Version.Current {
		t.Errorf("got %+v, %v", entries, err)
	}
}

// TestPutsAtOnce: as many versions as puts, whoever puts; a name that is someone else's is passed over.
func TestPutsAtOnce(t *testing.T) {
	e, m := newManager(t)
	foreign := api.SecretSpec{Annotations: api.Annotations{Name: "contended_v2"}, Data: []byte("x")}
	if _, err := e.Client.SecretCreate(t.Context(), client.SecretCreateOptions{Spec: foreign}); err != nil {
		t.Fatal(err)
	}
	managers := []*swarm.Manager{m, manage(t, swarm.Options{Host: e.Host, Timeout: time.Minute})}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := make(map[string]bool)
	for i := range 6 {
		wg.Go(func() {
			v, err := managers[i%2].Put(t.Context(), "contended", secret.NewValue([]byte("x")))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[v.ID] = true
		})
	}
	wg.Wait()
	if len(ids) != 6 || ids["2"] {
		t.Errorf("got versions %v", ids)
	}
}

func TestPutIf(t *testing.T) {
	_, m := newManager(t)
	putIf := func(expected string) error {
		_, err := m.PutIf(t.Context(), "putif", secret.NewValue([]byte("x")), expected)
		return err
	}
	for _, c := range []struct {
		expected string
		want     error
	}{
		{"1", secret.ErrConflict},
		{"", nil},
		{"", secret.ErrConflict},
		{"2", secret.ErrConflict},
		{"x", secret.ErrConflict},
		{"1", nil},
		{"1", secret.ErrConflict},
		{"2", nil},
	} {
		if err := putIf(c.expected); !errors.Is(err, c.want) {
			t.Errorf("expecting %q: got %v, want %v", c.expected, err, c.want)
		}
	}
}

func TestDelete(t *testing.T) {
	e, m := newManager(t)
	put(t, m, "deleted", "one")
	put(t, m, "deleted", "two")
	t.Run("in use", func(t *testing.T) {
		e.Run(t,
			docker.Service{
				Name: "holder", Replicas: 1,
				Secrets: []*api.SecretReference{mounting(t, e, "deleted", "deleted_v1", "deleted")},
			})
		err := m.Delete(t.Context(), "deleted")
		if err == nil || !strings.Contains(err.Error(), "in use by holder") || fault.HintOf(err) == "" ||
			len(docks(t, e, "deleted")) != 2 {
			t.Errorf("got %v (hint %q), %d left", err, fault.HintOf(err), len(docks(t, e, "deleted")))
		}
	})
	if err := m.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	left := docks(t, e, "deleted")
	if shell, ok := left["deleted_v3"]; len(left) != 1 || !ok || shell.Spec.Labels["sallyport.deleted"] == "" {
		t.Errorf("%v is left", left)
	}
	if err := m.Delete(t.Context(), "deleted"); !errors.Is(err, secret.ErrNotFound) {
		t.Errorf("deleting again: %v", err)
	}
	for _, version := range []string{"", "1", "3"} {
		if _, _, err := m.Get(t.Context(), "deleted", version); !errors.Is(err, secret.ErrNotFound) {
			t.Errorf("getting version %q of what was deleted: %v", version, err)
		}
	}
	if entries, err := m.List(t.Context(), "deleted"); err != nil || len(entries) != 0 {
		t.Errorf("listed %+v, %v", entries, err)
	}
	if v, err := m.PutIf(t.Context(), "deleted", secret.NewValue([]byte("new")), ""); err != nil || v.ID != "4" {
		t.Errorf("put again: %+v, %v; want version 4", v, err)
	}
	if left := docks(t, e, "deleted"); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
	if history, err := m.History(t.Context(), "deleted"); err != nil || len(history) != 1 || history[0].ID != "4" {
		t.Errorf("history %+v, %v", history, err)
	}
}

// TestInAContainer: a container reads what it has mounted, the engine tells which version that is, and a version that
// is mounted can be made current again.
func TestInAContainer(t *testing.T) {
	e, m := newManager(t)
	const first, second = "one\nline\n", "\x00\xffsecond"
	put(t, m, "inside", first)
	put(t, m, "inside", second)
	e.Run(t, docker.Service{Name: "reader", Replicas: 1, Secrets: []*api.SecretReference{
		mounting(t, e, "inside", "inside_v2", "inside"), mounting(t, e, "inside", "inside_v1", "inside_v1"),
	}})
	id := docks(t, e, "inside")["inside_v2"].ID
	for call, want := range map[string]answer{
		"get store inside":               {Value: second, Version: secret.Version{ID: id, Current: true}},
		"get store inside " + id:         {Value: second, Version: secret.Version{ID: id, Current: true}},
		"get store inside 1":             {Value: first, Version: secret.Version{ID: "1"}},
		"get store inside 3":             {Err: "no such version"},
		"get store other":                {Err: "no such secret"},
		"get manager inside":             {Value: second, Version: secret.Version{ID: "2", Current: true}},
		"get manager inside 2":           {Value: second, Version: secret.Version{ID: "2", Current: true}},
		"get manager inside " + id:       {Value: second, Version: secret.Version{ID: "2", Current: true}},
		"get manager inside 1":           {Value: first, Version: secret.Version{ID: "1"}},
		"get manager inside 3":           {Err: "no such version"},
		"rollback manager inside 3":      {Err: "no such version"},
		"rollback manager inside-out 1":  {Err: "no such secret"},
		"get manager inside/../../passw": {Err: "no such secret"},
	} {
		got := callIn(t, e, "reader", call)
		got.Version.Created = time.Time{}
		if want.Err != "" && strings.Contains(got.Err, want.Err) {
			got.Err = want.Err
		}
		// JSON has no way to write bytes that are no text.
		want.Value = strings.ToValidUTF8(want.Value, "\ufffd")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", call, diff)
		}
	}
	if got := callIn(t, e, "reader", "rollback manager inside 1"); got.Err != "" || got.Version.ID != "3" ||
		!got.Version.Current {
		t.Errorf("rolled back: %+v", got)
	}
	if got := callIn(t, e, "reader", "get manager inside"); got.Version.ID != "2" || got.Version.Current {
		t.Errorf("what is mounted is not the newest any more: %+v", got)
	}
	if _, err := m.Roll(t.Context(), "reader", "inside", ""); err != nil {
		t.Fatalf("%v (hint %q)", err, fault.HintOf(err))
	}
	if got := callIn(t, e, "reader", "get manager inside"); got.Value != first || got.Version.ID != "3" ||
		!got.Version.Current {
		t.Errorf("after rolling: %+v", got)
	}
	if got := callIn(t, e, "reader", "get manager inside 1"); got.Value != first || got.Version.ID != "1" {
		t.Errorf("what is mounted under its own name was exchanged: %+v", got)
	}
}

// values are what a service's containers have under a target.
func values(t *testing.T, e *docker.Engine, service, target string) string {
	t.Helper()
	all, err := e.TryExec(t, service, nil, "/bin/cat", "/run/secrets/"+target)
	if err != nil {
		return "nothing: " + err.Error()
	}
	return strings.Join(all, " ")
}

// settle waits until the containers of a service, and no others, hold want: a container that was replaced may take a
// moment to end on a busy machine, though the update is over.
func settle(t *testing.T, e *docker.Engine, service, target, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for got := values(t, e, service, target); got != want; got = values(t, e, service, target) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("service %q holds %q, want %q", service, got, want)
		}
	}
}

func TestRollAndPrune(t *testing.T) {
	e, m := newManager(t)
	put(t, m, "rolled", "one")
	e.Run(t,
		docker.Service{
			Name: "roller", Replicas: 2,
			Secrets: []*api.SecretReference{mounting(t, e, "rolled", "rolled_v1", "api_key")},
		})
	roll := func(version, wantID, wantValues string) {
		t.Helper()
		v, err := m.Roll(t.Context(), "roller", "rolled", version)
		if err != nil || v.ID != wantID {
			t.Fatalf("to %q: got %+v, %v (hint %q)", version, v, err, fault.HintOf(err))
		}
		settle(t, e, "roller", "api_key", wantValues)
	}
	roll("", "1", "one one") // nothing to do
	put(t, m, "rolled", "two")
	roll("", "2", "two two")
	roll("1", "1", "one one")
	put(t, m, "rolled", "three")
	roll("", "3", "three three")
	put(t, m, "rolled", "four")

	pruned := func(keep int, want ...string) {
		t.Helper()
		removed, err := m.Prune(t.Context(), "rolled", keep)
		var ids []string
		for _, v := range removed {
			ids = append(ids, v.ID)
		}
		if diff := cmp.Diff(want, ids); diff != "" || err != nil {
			t.Errorf("keeping %d: %v %s", keep, err, diff)
		}
	}
	pruned(4)
	pruned(0, "2") // 3 is in use, 1 is what the service would be rolled back to, 4 is the newest
	roll("4", "4", "four four")
	pruned(1, "1")
	if _, err := m.Roll(t.Context(), "roller", "rolled", "1"); !errors.Is(err, secret.ErrVersionGone) {
		t.Errorf("rolling to what is gone: %v", err)
	}
}

func TestRollFailure(t *testing.T) {
	e, m := newManager(t)
	put(t, m, "bad", "good")
	put(t, m, "unmounted", "x")
	e.Run(t, docker.Service{
		Name: "picky", Replicas: 1,
		Command: []string{"/bin/sh", "-c", "grep -q good /run/secrets/bad && exec sleep infinity; exit 1"},
		Secrets: []*api.SecretReference{mounting(t, e, "bad", "bad_v1", "bad")},
	})
	for service, text := range map[string]string{
		"picky":  "--secret-add source=unmounted_v1,target=unmounted",
		"nobody": "docker service ls",
	} {
		if _, err := m.Roll(t.Context(), service, "unmounted", ""); err == nil ||
			!strings.Contains(fault.HintOf(err), text) {
			t.Errorf("service %s: got %v (hint %q)", service, err, fault.HintOf(err))
		}
	}
	put(t, m, "bad", "evil")
	for range 2 { // the second time there is nothing to change, and it is as bad
		_, err := m.Roll(t.Context(), "picky", "bad", "")
		if err == nil || !strings.Contains(err.Error(), "it is paused") ||
			!strings.Contains(fault.HintOf(err), "docker service ps") {
			t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
		}
	}
	if v, err := m.Roll(t.Context(), "picky", "bad", "1"); err != nil || v.ID != "1" {
		t.Errorf("back to the good one: got %+v, %v", v, err)
	}
	settle(t, e, "picky", "bad", "good")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Roll(ctx, "picky", "bad", ""); !errors.Is(err, context.Canceled) ||
		errors.Is(err, secret.ErrUnavailable) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCancelled: a call that nobody waits for any more changes nothing and blames nobody.
func TestCancelled(t *testing.T) {
	e, m := newManager(t)
	put(t, m, "cancelled", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"Get":      func() error { _, _, err := m.Get(ctx, "cancelled", ""); return err },
		"Put":      func() error { _, err := m.Put(ctx, "cancelled", secret.NewValue([]byte("y"))); return err },
		"Rollback": func() error { _, err := m.Rollback(ctx, "cancelled", "1"); return err },
		"Delete":   func() error { return m.Delete(ctx, "cancelled") },
		"List":     func() error { _, err := m.List(ctx, ""); return err },
		"History":  func() error { _, err := m.History(ctx, "cancelled"); return err },
		"Prune":    func() error { _, err := m.Prune(ctx, "cancelled", 1); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) || errors.Is(err, secret.ErrUnavailable) {
			t.Errorf("%s: got %v, want context.Canceled alone", name, err)
		}
	}
	if got := fmt.Sprint(len(docks(t, e, "cancelled"))); got != "1" {
		t.Errorf("Docker has %s secrets", got)
	}
}

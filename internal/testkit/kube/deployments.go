package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Deployments are some of a namespace, and what a cluster's controllers and its kubelet would do for them: ReplicaSets,
// pods that run at once, revisions, status. The API server has none of these.
type Deployments struct {
	Namespace string

	server *Server

	mu     sync.Mutex
	broken map[string]bool
}

// At is the address of a resource of the group apps, for Call.
func (c *Deployments) At(resource string) string {
	return "/apis/apps/v1/namespaces/" + c.Namespace + "/" + resource
}

// Break has the pods of a Deployment crash from its next restart on.
func (c *Deployments) Break(name string) { c.set(name, true) }

// Mend takes Break back.
func (c *Deployments) Mend(name string) { c.set(name, false) }

func (c *Deployments) set(name string, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken[name] = broken
}

// Pods are the names of a Deployment's pods.
func (c *Deployments) Pods(t testing.TB, name string) (pods []string) {
	t.Helper()
	type item struct{ Metadata struct{ Name string } }
	list := c.server.Call(t, http.MethodGet, c.pods()+"?labelSelector=app%3D"+name, nil)
	for _, one := range into[struct{ Items []item }](list).Items {
		pods = append(pods, one.Metadata.Name)
	}
	return pods
}

func (c *Deployments) pods() string { return "/api/v1/namespaces/" + c.Namespace + "/pods" }

// Deployments makes Deployments of two pods each in a namespace of their own, and looks after them until the test ends.
func (s *Server) Deployments(t testing.TB, names ...string) *Deployments {
	t.Helper()
	c := &Deployments{server: s, Namespace: s.Namespace(t), broken: map[string]bool{}}
	for _, name := range names {
		labels := Object{"app": name}
		s.Call(t, http.MethodPost, c.At("deployments"), Object{
			"metadata": Object{"name": name},
			"spec": Object{
				"replicas": 2, "selector": Object{"matchLabels": labels},
				"template": Object{"metadata": Object{"labels": labels}, "spec": Object{
					"containers": []Object{{"name": "n8n", "image": "n8n"}, {"name": "runner", "image": "runners"}},
				}},
			},
		})
	}
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for _, name := range names {
				if err := c.reconcile(name); err != nil && !strings.Contains(err.Error(), "404") &&
					!strings.Contains(err.Error(), "409") {
					t.Errorf("playing the controllers: %v", err)
					return
				}
			}
		}
	}()
	t.Cleanup(func() { close(done); <-stopped })
	return c
}

// deployment is what of a Deployment the controllers look at.
type deployment struct {
	Metadata struct {
		Name, UID   string
		Generation  int64
		Annotations map[string]string
	}
	Spec struct {
		Replicas int
		Template json.RawMessage
	}
}

func into[T any](o Object) (out T) {
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// reconcile does for a Deployment what the controllers do (kubernetes 1.36, pkg/controller/deployment), in big steps: a
// ReplicaSet for each template, revisions, pods, status.
func (c *Deployments) reconcile(name string) error {
	found, err := c.server.Ask(http.MethodGet, c.At("deployments")+"/"+name, nil)
	if err != nil {
		return err
	}
	d := into[deployment](found)
	hash, revision, err := c.replicaSet(d)
	if err != nil {
		return err
	}
	if d.Metadata.Annotations["deployment.kubernetes.io/revision"] != revision {
		patch := Object{
			"metadata": Object{"annotations": Object{"deployment.kubernetes.io/revision": revision}},
		}
		if _, err := c.server.Ask(http.MethodPatch, c.At("deployments")+"/"+name, patch); err != nil {
			return err
		}
	}
	c.mu.Lock()
	broken := c.broken[name]
	c.mu.Unlock()
	fresh, old, err := c.runPods(d, hash, broken)
	if err != nil {
		return err
	}
	available := fresh
	if broken {
		available = old
	}
	_, err = c.server.Ask(http.MethodPatch, c.At("deployments")+"/"+name+"/status", Object{"status": Object{
		"observedGeneration": d.Metadata.Generation, "replicas": fresh + old, "updatedReplicas": fresh,
		"readyReplicas": available, "availableReplicas": available,
	}})
	return err
}

// replicaSet finds or makes the one of the present template; its revision becomes the newest.
func (c *Deployments) replicaSet(d deployment) (hash, revision string, err error) {
	type set struct {
		Metadata struct {
			Name        string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
	list, err := c.server.Ask(http.MethodGet, c.At("replicasets")+"?labelSelector=app%3D"+d.Metadata.Name, nil)
	if err != nil {
		return "", "", err
	}
	sets := into[struct{ Items []set }](list).Items
	hash = fmt.Sprintf("%08x", fnv(d.Spec.Template))
	newest, mine := 0, -1
	for i, one := range sets {
		n := 0
		_, _ = fmt.Sscan(one.Metadata.Annotations["deployment.kubernetes.io/revision"], &n)
		newest = max(newest, n)
		if one.Metadata.Labels["pod-template-hash"] == hash {
			mine = i
		}
	}
	if mine >= 0 {
		revision = sets[mine].Metadata.Annotations["deployment.kubernetes.io/revision"]
		if revision == fmt.Sprint(newest) {
			return hash, revision, nil
		}
		revision = fmt.Sprint(newest + 1)
		_, err = c.server.Ask(http.MethodPatch, c.At("replicasets")+"/"+sets[mine].Metadata.Name,
			Object{
				"metadata": Object{"annotations": Object{"deployment.kubernetes.io/revision": revision}},
			})
		return hash, revision, err
	}
	revision = fmt.Sprint(newest + 1)
	template := below(into[Object](Object{"t": d.Spec.Template}), "t")
	labels := Object{"app": d.Metadata.Name, "pod-template-hash": hash}
	below(template, "metadata")["labels"] = labels
	_, err = c.server.Ask(http.MethodPost, c.At("replicasets"), Object{
		"metadata": Object{
			"name": d.Metadata.Name + "-" + hash, "labels": labels,
			"annotations": Object{"deployment.kubernetes.io/revision": revision},
			"ownerReferences": []Object{{
				"apiVersion": "apps/v1", "kind": "Deployment", "name": d.Metadata.Name, "uid": d.Metadata.UID,
				"controller": true,
			}},
		},
		"spec": Object{"replicas": d.Spec.Replicas, "selector": Object{"matchLabels": labels}, "template": template},
	})
	return hash, revision, err
}

// below is an object within another one.
func below(o Object, name string) Object {
	inner, _ := o[name].(Object)
	return inner
}

func fnv(text []byte) (h uint32) {
	h = 2166136261
	for _, b := range text {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// runPods makes the pods of the present template and, once they are there and healthy, takes the others away.
func (c *Deployments) runPods(d deployment, hash string, broken bool) (fresh, old int, err error) {
	type pod struct {
		Metadata struct {
			Name   string
			Labels map[string]string
		}
	}
	list, err := c.server.Ask(http.MethodGet, c.pods()+"?labelSelector=app%3D"+d.Metadata.Name, nil)
	if err != nil {
		return 0, 0, err
	}
	var others []string
	for _, p := range into[struct{ Items []pod }](list).Items {
		if p.Metadata.Labels["pod-template-hash"] == hash && fresh < d.Spec.Replicas {
			fresh++
		} else {
			others = append(others, p.Metadata.Name)
		}
	}
	for ; fresh < d.Spec.Replicas; fresh++ {
		made, err := c.server.Ask(http.MethodPost, c.pods(), Object{
			"metadata": Object{
				"generateName": d.Metadata.Name + "-",
				"labels":       Object{"app": d.Metadata.Name, "pod-template-hash": hash},
			},
			"spec": Object{"containers": []Object{
				{"name": "n8n", "image": "n8n"}, {"name": "runner", "image": "runners"},
			}},
		})
		if err != nil {
			return 0, 0, err
		}
		status := Object{
			"phase": "Running", "podIP": "127.0.0.1",
			"conditions": []Object{{"type": "Ready", "status": "True"}},
		}
		if broken {
			status = Object{
				"phase": "Running",
				"containerStatuses": []Object{{
					"name": "n8n", "image": "n8n", "imageID": "", "ready": false,
					"restartCount": 3, "state": Object{"waiting": Object{"reason": "CrashLoopBackOff"}},
				}},
			}
		}
		if _, err := c.server.Ask(http.MethodPatch, c.pods()+"/"+into[pod](made).Metadata.Name+"/status",
			Object{"status": status}); err != nil {
			return 0, 0, err
		}
	}
	if broken {
		return fresh, len(others), nil
	}
	for _, name := range others {
		if _, err := c.server.Ask(http.MethodDelete, c.pods()+"/"+name+"?gracePeriodSeconds=0", nil); err != nil {
			return 0, 0, err
		}
	}
	return fresh, 0, nil
}

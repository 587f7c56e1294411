package kubernetes_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/pause"
	"sallyport/internal/testkit/kube"
)

// workload makes one whose controllers are the test, with a status and pods.
func (c *cluster) workload(t *testing.T, resource, name string, spec, status kube.Object, pods ...kube.Object) {
	t.Helper()
	labels := kube.Object{"app": name}
	full := kube.Object{"replicas": 2, "selector": kube.Object{"matchLabels": labels}, "template": template(labels)}
	maps.Copy(full, spec)
	c.server.Call(t, http.MethodPost, c.At(resource), kube.Object{"metadata": kube.Object{"name": name}, "spec": full})
	c.status(t, c.At(resource)+"/"+name, status)
	at := "/api/v1/namespaces/" + c.Namespace + "/pods"
	for _, status := range pods {
		made := c.server.Call(t, http.MethodPost, at, kube.Object{
			"metadata": kube.Object{"generateName": name + "-", "labels": labels}, "spec": template(labels)["spec"],
		})
		c.status(t, at+"/"+made["metadata"].(kube.Object)["name"].(string), status)
	}
}

func template(labels kube.Object) kube.Object {
	return kube.Object{
		"metadata": kube.Object{"labels": labels},
		"spec":     kube.Object{"containers": []kube.Object{{"name": "n8n", "image": "n8n"}}},
	}
}

func (c *cluster) status(t *testing.T, path string, status kube.Object) {
	t.Helper()
	if status != nil {
		c.server.Call(t, http.MethodPatch, path+"/status", kube.Object{"status": status})
	}
}

// counts is the status of a workload.
func counts(total, updated, available int, more ...kube.Object) kube.Object {
	status := kube.Object{
		"observedGeneration": 1, "replicas": total, "updatedReplicas": updated, "availableReplicas": available,
		"readyReplicas": available,
	}
	for _, m := range more {
		maps.Copy(status, m)
	}
	return status
}

func condition(kind, status, reason string) kube.Object {
	return kube.Object{"conditions": []kube.Object{{
		"type": kind, "status": status, "reason": reason, "message": "secret-canary", "lastUpdateTime": nil,
		"lastTransitionTime": nil,
	}}}
}

func waiting(key, reason string, exit int) kube.Object {
	return kube.Object{"phase": "Pending", key: []kube.Object{{
		"name": "n8n", "image": "n8n", "imageID": "", "ready": false, "restartCount": 3,
		"state":     kube.Object{"waiting": kube.Object{"reason": reason, "message": "secret-canary"}},
		"lastState": kube.Object{"terminated": kube.Object{"exitCode": exit}},
	}}}
}

// TestStates: what Kubernetes says of a workload is told in its words, and none of its messages.
func TestStates(t *testing.T) {
	c := newCluster(t)
	running := kube.Object{"phase": "Running", "conditions": []kube.Object{{"type": "Ready", "status": "True"}}}
	revisions := kube.Object{"currentRevision": "a-1", "updateRevision": "a-2"}
	same := kube.Object{"currentRevision": "a-1", "updateRevision": "a-1"}
	partition := kube.Object{"updateStrategy": kube.Object{
		"type": "RollingUpdate", "rollingUpdate": kube.Object{"partition": 1},
	}}
	for _, s := range []struct {
		name, kind   string
		spec, status kube.Object
		pods         []kube.Object
		state        fleet.State
		says         string
		restarts     string // "": it does
	}{
		{"ready", "deployment", nil, counts(2, 2, 2), []kube.Object{running, running}, fleet.Ready, "", ""},
		{"paused", "deployment", kube.Object{"paused": true}, counts(2, 2, 2), []kube.Object{running, running}, fleet.Ready, "", "it is paused"},
		{"paused-half", "deployment", kube.Object{"paused": true}, counts(2, 1, 1), []kube.Object{running, running}, fleet.Changing, "it is paused", "it is paused"},
		{"deadline", "deployment", nil, counts(2, 1, 1, condition("Progressing", "False", "ProgressDeadlineExceeded")), []kube.Object{running, waiting("containerStatuses", "CrashLoopBackOff", 1)}, fleet.Failed, "CrashLoopBackOff, it ended with 1", ""},
		{"image", "deployment", nil, counts(2, 1, 1), []kube.Object{running, waiting("containerStatuses", "ImagePullBackOff", 0)}, fleet.Changing, "ImagePullBackOff", ""},
		{"init", "deployment", nil, counts(2, 1, 1), []kube.Object{running, waiting("initContainerStatuses", "CrashLoopBackOff", 3)}, fleet.Changing, "CrashLoopBackOff, it ended with 3", ""},
		{"quota", "deployment", nil, counts(1, 1, 1, condition("ReplicaFailure", "True", "FailedCreate")), []kube.Object{running}, fleet.Changing, "pods are not let in: FailedCreate", ""},
		{"room", "deployment", nil, counts(2, 2, 1), []kube.Object{running, {"phase": "Pending", "conditions": []kube.Object{{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}}}}, fleet.Changing, "Unschedulable", ""},
		{"unseen", "deployment", nil, kube.Object{"observedGeneration": 0}, nil, fleet.Changing, "has not begun", ""},
		{"stopped", "deployment", kube.Object{"replicas": 0}, counts(0, 0, 0), nil, fleet.Stopped, "", ""},
		{"sts", "statefulset", nil, counts(2, 0, 2, same), []kube.Object{running, running}, fleet.Ready, "", ""},
		{"rolling", "statefulset", nil, counts(2, 1, 2, revisions), []kube.Object{running, running}, fleet.Changing, "1 of 2 pods are new", ""},
		{"stuck", "statefulset", nil, counts(2, 0, 1, revisions), []kube.Object{running, waiting("containerStatuses", "CrashLoopBackOff", 1)}, fleet.Changing, "does not replace it: `kubectl delete pod stuck-", ""},
		{"ondelete", "statefulset", kube.Object{"updateStrategy": kube.Object{"type": "OnDelete"}}, counts(2, 0, 2, same), []kube.Object{running, running}, fleet.Ready, "", "OnDelete"},
		{"partition", "statefulset", partition, counts(2, 1, 2, revisions), []kube.Object{running, running}, fleet.Changing, "partition 1", "partition 1"},
	} {
		t.Run(s.name, func(t *testing.T) {
			c.workload(t, s.kind+"s", s.name, s.spec, s.status, s.pods...)
			unit := s.kind + "/" + s.name
			f := c.open(t, c.server.AdminToken, unit)
			u, err := f.Look(t.Context(), unit)
			if err != nil {
				t.Fatal(err)
			}
			if u.State != s.state || !strings.Contains(u.Problem, s.says) || (s.says == "") != (u.Problem == "") ||
				strings.Contains(u.Problem, "canary") {
				t.Errorf("it is %s: %q", u.State, u.Problem)
			}
			err = f.Restart(t.Context(), unit, 0)
			if s.restarts == "" {
				if after, errLook := f.Look(t.Context(), unit); err != nil || errLook != nil ||
					after.Generation == u.Generation {
					t.Errorf("restarting it: %v, %v", err, errLook)
				}
				return
			}
			if !errors.Is(err, fleet.ErrNotAllowed) || !strings.Contains(err.Error(), s.restarts) ||
				fault.HintOf(err) == "" {
				t.Errorf("restarting it: got %v with hint %q", err, fault.HintOf(err))
			}
		})
	}
}

// TestStatefulSet is restarted, stopped, started, and brought back to a revision that Kubernetes keeps.
func TestStatefulSet(t *testing.T) {
	c := newCluster(t)
	same := kube.Object{"currentRevision": "n8n-1", "updateRevision": "n8n-1"}
	c.workload(t, "statefulsets", "n8n", nil, counts(2, 0, 2, same))
	at := c.At("statefulsets") + "/n8n"
	set := c.server.Call(t, http.MethodGet, at, nil)
	c.revision(t, set, "n8n-1")
	f := c.open(t, c.server.AdminToken, "statefulset/n8n")
	before, err := f.Look(t.Context(), "statefulset/n8n")
	if err != nil || before.Revision != "n8n-1" {
		t.Fatalf("got %+v, %v", before, err)
	}
	if err := f.Restart(t.Context(), "statefulset/n8n", 0); err != nil {
		t.Fatal(err)
	}
	c.status(t, at, counts(2, 2, 2, kube.Object{"observedGeneration": 2, "updateRevision": "n8n-2"}))
	if u, err := f.Look(t.Context(), "statefulset/n8n"); err != nil || u.Generation == before.Generation ||
		u.Revision != "n8n-2" {
		t.Errorf("after the restart got %+v, %v", u, err)
	}
	if err := f.Revert(t.Context(), "statefulset/n8n", "n8n-1"); err != nil {
		t.Fatal(err)
	}
	if u, err := f.Look(t.Context(), "statefulset/n8n"); err != nil || u.Generation != before.Generation {
		t.Errorf("reverted, its template is %q, want %q: %v", u.Generation, before.Generation, err)
	}
	for _, revision := range []string{"n8n-0", "foreign", "../x", ""} {
		if revision == "foreign" {
			other := kube.Object{"name": "other", "uid": "1-2-3"}
			c.revision(t, kube.Object{"metadata": other, "spec": set["spec"]}, revision)
		}
		if err := f.Revert(t.Context(), "statefulset/n8n", revision); !errors.Is(err, fleet.ErrNoRevision) {
			t.Errorf("reverting to %q: got %v", revision, err)
		}
	}
	for _, want := range []int{0, 3} {
		if err := f.Start(t.Context(), "statefulset/n8n", want); err != nil {
			t.Fatal(err)
		}
		if u, err := f.Look(t.Context(), "statefulset/n8n"); err != nil || u.Want != want {
			t.Errorf("it wants %d pods, want %d: %v", u.Want, want, err)
		}
	}
}

// revision makes what the StatefulSet controller keeps of a template (pkg/controller/statefulset, getPatch).
func (c *cluster) revision(t *testing.T, set kube.Object, name string) {
	t.Helper()
	meta := set["metadata"].(kube.Object)
	held, err := json.Marshal(set["spec"].(kube.Object)["template"])
	var data kube.Object
	if err = errors.Join(err, json.Unmarshal(held, &data)); err != nil {
		t.Fatal(err)
	}
	data["$patch"] = "replace"
	c.server.Call(t, http.MethodPost, c.At("controllerrevisions"), kube.Object{
		"metadata": kube.Object{"name": name, "ownerReferences": []kube.Object{{
			"apiVersion": "apps/v1", "kind": "StatefulSet", "name": meta["name"], "uid": meta["uid"], "controller": true,
		}}},
		"data": kube.Object{"spec": kube.Object{"template": data}}, "revision": 1,
	})
}

// TestRefused: a change that a policy or a webhook refuses is told as that, also where it has the status of what a role
// does not allow; a webhook that is away is an API server that is.
func TestRefused(t *testing.T) {
	c := newCluster(t)
	c.workload(t, "deployments", "n8n", nil, counts(0, 0, 0))
	f := c.open(t, c.server.AdminToken, "deployment/n8n")
	rules := []kube.Object{{
		"apiGroups": []string{"apps"}, "apiVersions": []string{"v1"}, "operations": []string{"UPDATE"},
		"resources": []string{"deployments"},
	}}
	here := kube.Object{"matchLabels": kube.Object{"kubernetes.io/metadata.name": c.Namespace}}
	const at = "/apis/admissionregistration.k8s.io/v1/"

	name := "frozen-" + c.Namespace
	c.made(t, at+"validatingadmissionpolicies", name, kube.Object{"spec": kube.Object{
		"matchConstraints": kube.Object{"resourceRules": rules, "namespaceSelector": here},
		"validations":      []kube.Object{{"expression": "false", "message": "secret-canary"}},
	}})
	c.made(t, at+"validatingadmissionpolicybindings", name, kube.Object{"spec": kube.Object{
		"policyName": name, "validationActions": []string{"Deny"},
	}})
	c.awaitRefusal(t, f, "a ValidatingAdmissionPolicy refuses it", nil)
	c.server.Call(t, http.MethodDelete, at+"validatingadmissionpolicybindings/"+name, nil)
	c.awaitRefusal(t, f, "", nil)

	denies := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Request struct{ UID string } }
		_ = json.NewDecoder(r.Body).Decode(&review)
		_ = json.NewEncoder(w).Encode(kube.Object{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": kube.Object{
				"uid": review.Request.UID, "allowed": false,
				"status": kube.Object{"code": http.StatusForbidden, "reason": "Forbidden", "message": "secret-canary"},
			},
		})
	}))
	t.Cleanup(denies.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: denies.Certificate().Raw})
	c.made(t, at+"validatingwebhookconfigurations", name, kube.Object{"webhooks": []kube.Object{{
		"name": "gate.keeper.test", "rules": rules, "sideEffects": "None", "admissionReviewVersions": []string{"v1"},
		"namespaceSelector": here, "timeoutSeconds": 2,
		"clientConfig": kube.Object{"url": denies.URL, "caBundle": base64.StdEncoding.EncodeToString(ca)},
	}}})
	c.awaitRefusal(t, f, "an admission webhook refuses it", nil)
	denies.Close()
	c.awaitRefusal(t, f, "could not ask an admission webhook", fleet.ErrUnreachable)
}

// made makes an object of the whole cluster.
func (c *cluster) made(t *testing.T, at, name string, object kube.Object) {
	t.Helper()
	object["metadata"] = kube.Object{"name": name}
	c.server.Call(t, http.MethodPost, at, object)
	t.Cleanup(func() { _, _ = c.server.Ask(http.MethodDelete, at+"/"+name, nil) })
}

// awaitRefusal restarts until the API server has heard of a policy; "" of its end.
func (c *cluster) awaitRefusal(t *testing.T, f fleet.Orchestrator, want string, is error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; _ = pause.For(t.Context(), 50*time.Millisecond) {
		err := f.Restart(t.Context(), "deployment/n8n", 0)
		switch {
		case err == nil && want == "":
			return
		case err != nil && strings.Contains(err.Error(), "canary"):
			t.Fatalf("what the API server says is quoted: %v", err)
		case err != nil && want != "" && strings.Contains(err.Error(), want):
			if is != nil && !errors.Is(err, is) || is == nil && errors.Is(err, fleet.ErrUnreachable) ||
				errors.Is(err, fleet.ErrNotAllowed) || fault.HintOf(err) == "" {
				t.Errorf("got %v with hint %q", err, fault.HintOf(err))
			}
			return
		case time.Now().After(deadline):
			t.Fatalf("got %v, want %q", err, want)
		}
	}
}

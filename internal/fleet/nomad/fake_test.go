package nomad_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

type object = map[string]any

// fake is a Nomad of one namespace, written from its API's documentation (developer.hashicorp.com/nomad/api-docs: jobs,
// allocations) and, for conflicts, from what Nomad 2.0.3 answers: 500 with a text. What the scheduler, the clients and
// the deployment watcher do, it does a step of with each request: an allocation at a time, as max_parallel = 1 has it.
type fake struct {
	url, token, namespace string

	mu          sync.Mutex
	before      func(r *http.Request) (status int) // not 0: the answer
	index, ids  int
	job         object
	versions    []object
	allocations []object
	deployments []object
	broken      map[string]bool
	revert      bool // auto_revert
	requests    []string
}

func newFake(t *testing.T, groups ...string) *fake {
	t.Helper()
	f := &fake{token: "c4n4ry-0f-nomad", namespace: "n8n", index: 10, broken: map[string]bool{}}
	var list []any
	for _, name := range groups {
		list = append(list, object{
			"Name": name, "Count": 2.0, "Meta": nil, "Update": object{"MaxParallel": 1.0},
			"Tasks": []any{
				object{
					"Name": "n8n", "KillTimeout": 4e10, "Config": object{"image": "n8nio/n8n"},
					"Env": object{"N8N_ENCRYPTION_KEY": "c4n4ry-0f-the-job"},
				},
				object{"Name": "proxy", "Config": object{"image": "nginx"}, "KillTimeout": 5e9},
			},
		})
	}
	f.register(object{
		"ID": "n8n", "Type": "service", "Stop": false, "Periodic": nil, "ParameterizedJob": nil, "TaskGroups": list,
		"SubmitTime": json.Number("1732886400123456789"),
	})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fake) group(name string) object {
	for _, g := range f.job["TaskGroups"].([]any) {
		if g.(object)["Name"] == name {
			return g.(object)
		}
	}
	return nil
}

// spec is a group but for its count: allocations of the same one stay where they are.
func spec(g object) string {
	text := object{}
	for k, v := range g {
		if k != "Count" {
			text[k] = v
		}
	}
	out, _ := json.Marshal(text)
	return string(out)
}

func (f *fake) register(job object) {
	f.index++
	job["Version"], job["JobModifyIndex"], job["Namespace"] = float64(len(f.versions)), float64(f.index), f.namespace
	f.job = job
	f.versions = append(f.versions, clone(job))
	groups := object{}
	for _, g := range job["TaskGroups"].([]any) {
		name := g.(object)["Name"].(string)
		groups[name] = object{
			"AutoRevert": f.revert, "Promoted": false, "DesiredCanaries": 0,
			"DesiredTotal": g.(object)["Count"], "HealthyAllocs": 0.0, "UnhealthyAllocs": 0.0,
		}
		for _, a := range f.allocations {
			if a["TaskGroup"] == name && a["spec"] == spec(g.(object)) {
				a["JobVersion"] = job["Version"]
			}
		}
	}
	f.deployments = slices.Insert(f.deployments, 0,
		object{"JobVersion": job["Version"], "Status": "running", "TaskGroups": groups})
}

func clone(o object) (out object) {
	text, _ := json.Marshal(o)
	_ = json.Unmarshal(text, &out)
	return out
}

// step is what happens meanwhile. It tells whether anything did.
func (f *fake) step() bool {
	for _, g := range f.job["TaskGroups"].([]any) {
		if f.stepGroup(g.(object)) {
			return true
		}
	}
	if f.deployments[0]["Status"] == "running" {
		f.deployments[0]["Status"] = "successful"
		return true
	}
	return false
}

func (f *fake) stepGroup(g object) bool {
	name, alive := g["Name"].(string), 0
	var old object
	for _, a := range f.allocations {
		switch {
		case a["TaskGroup"] != name || a["ClientStatus"] == "complete" || a["ClientStatus"] == "failed":
			continue
		case a["DesiredStatus"] == "stop":
			a["ClientStatus"] = "complete"
			return true
		case a["ClientStatus"] == "pending":
			a["ClientStatus"] = "running"
			return true
		case a["DeploymentStatus"] == nil:
			return f.judge(name, a)
		}
		if alive++; a["spec"] != spec(g) {
			old = a
		}
	}
	switch count := int(g["Count"].(float64)); {
	case f.deployments[0]["Status"] == "failed":
		return false
	case alive > count:
		return f.end(name)
	case alive < count:
		f.place(g)
		return true
	case old != nil:
		old["DesiredStatus"] = "stop"
		return true
	}
	return false
}

// judge is the deployment watcher's: an allocation becomes healthy, or its task ends again and again.
func (f *fake) judge(name string, a object) bool {
	d := f.deployments[0]["TaskGroups"].(object)[name].(object)
	task := a["TaskStates"].(object)["n8n"].(object)
	if !f.broken[name] {
		a["DeploymentStatus"] = object{"Healthy": true}
		d["HealthyAllocs"] = d["HealthyAllocs"].(float64) + 1
		return true
	}
	if task["Restarts"] = task["Restarts"].(float64) + 1; task["Restarts"].(float64) > 2 {
		a["ClientStatus"], a["DeploymentStatus"] = "failed", object{"Healthy": false}
		d["UnhealthyAllocs"] = 1.0
		f.deployments[0]["Status"] = "failed"
		if f.revert {
			f.broken[name] = false
			f.register(clone(f.versions[len(f.versions)-2]))
		}
	}
	return true
}

func (f *fake) end(name string) bool {
	for _, a := range f.allocations {
		if a["TaskGroup"] == name && a["DesiredStatus"] == "run" && a["ClientStatus"] == "running" {
			a["DesiredStatus"] = "stop"
			return true
		}
	}
	return false
}

func (f *fake) place(g object) {
	f.ids++
	f.allocations = append(f.allocations, object{
		"ID": fmt.Sprintf("%08x-1111-2222-3333-444444444444", f.ids), "Name": "n8n." + g["Name"].(string) + "[0]",
		"TaskGroup": g["Name"], "DesiredStatus": "run", "ClientStatus": "pending", "JobVersion": f.job["Version"],
		"DeploymentStatus": nil, "spec": spec(g),
		"TaskStates": object{
			"n8n":   object{"State": "running", "Failed": false, "Restarts": 0.0},
			"proxy": object{"State": "running", "Failed": false, "Restarts": 0.0},
		},
		"AllocatedResources": object{"Shared": object{"Networks": []any{object{"IP": fmt.Sprintf("10.0.0.%d", f.ids)}}}},
	})
}

// settle steps until nothing happens any more.
func (f *fake) settle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.step() {
	}
}

// ServeHTTP answers as an agent does.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
	if f.before != nil {
		if status := f.before(r); status != 0 {
			w.Header().Set("Location", "http://169.254.169.254/")
			http.Error(w, "c4n4ry in an answer", status)
			return
		}
	}
	f.step()
	switch path := strings.TrimPrefix(r.URL.Path, "/v1/"); {
	case r.Header.Get("X-Nomad-Token") != f.token:
		http.Error(w, "Permission denied", http.StatusForbidden)
	case r.URL.Query().Get("namespace") != f.namespace:
		http.NotFound(w, r)
	case r.Method == http.MethodPost && path == "job/n8n":
		f.post(w, r)
	case r.Method != http.MethodGet:
		http.Error(w, "Invalid method", http.StatusMethodNotAllowed)
	case path == "job/n8n":
		answer(w, f.job)
	case path == "job/n8n/versions":
		answer(w, object{"Versions": f.versions})
	case path == "job/n8n/allocations":
		answer(w, f.allocations)
	case path == "job/n8n/deployments":
		answer(w, f.deployments)
	case strings.HasPrefix(path, "allocation/"):
		for _, a := range f.allocations {
			if a["ID"] == strings.TrimPrefix(path, "allocation/") {
				answer(w, a)
				return
			}
		}
		http.Error(w, "alloc not found", http.StatusNotFound)
	default:
		http.Error(w, "job not found", http.StatusNotFound)
	}
}

func (f *fake) post(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Job            object
		EnforceIndex   bool
		JobModifyIndex float64
	}
	decoder := json.NewDecoder(r.Body)
	switch err := decoder.Decode(&body); {
	case err != nil || body.Job["ID"] != "n8n":
		http.Error(w, "Job ID does not match name in path", http.StatusBadRequest)
	case !body.EnforceIndex:
		http.Error(w, "the test wants check-and-set", http.StatusTeapot)
	case body.JobModifyIndex != f.job["JobModifyIndex"]:
		http.Error(w, fmt.Sprintf("Enforcing job modify index %v: job exists with conflicting job modify index: %v",
			body.JobModifyIndex, f.job["JobModifyIndex"]), http.StatusInternalServerError)
	default:
		f.register(body.Job)
		answer(w, object{"EvalID": "1", "JobModifyIndex": f.index})
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

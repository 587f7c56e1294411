// Package kubernetes is a fleet of Deployments and StatefulSets of one namespace. A unit is a workload, whose pods
// Kubernetes replaces one after another, as the workload's strategy says.
//
// A restart is what `kubectl rollout restart` does: an annotation of the pod template changes. The way back is a
// revision of the workload, as `kubectl rollout undo` takes it.
//
// Invariant: no text that the API server has sent is part of an error, apart from the reasons of conditions and of
// waiting containers, cleaned.
package kubernetes

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"sallyport/internal/fault"
	"sallyport/internal/fleet"
	"sallyport/internal/kubeapi"
	"sallyport/internal/program"
)

const (
	callTime = 10 * time.Second

	// annotationRestarted is kubectl's (k8s.io/kubectl v0.36, polymorphichelpers/objectrestarter.go), annotationRestart
	// ours: two restarts of one second are two.
	annotationRestarted = "kubectl.kubernetes.io/restartedAt"
	annotationRestart   = "sallyport/restart"
	// annotationRevision is the Deployment controller's.
	annotationRevision = "deployment.kubernetes.io/revision"
	labelTemplateHash  = "pod-template-hash"
	labelRevision      = "controller-revision-hash" // of a StatefulSet's pod
)

// Options say which workloads, and of which cluster.
type Options struct {
	kubeapi.Options

	Namespace string   // "" is the context's or the pod's
	Workloads []string // deployment/NAME or statefulset/NAME, in the order of restart
}

// Fleet is a fleet of kind kubernetes. It is safe for concurrent use.
type Fleet struct {
	api       *rest.RESTClient
	namespace string
	workloads []string

	kubeconfig, context string // how kubectl finds the same cluster
}

// New reads the files that o names and contacts nobody.
func New(o Options) (*Fleet, error) {
	failed := func(err error) (*Fleet, error) {
		return nil, fmt.Errorf("setting up a fleet of kind kubernetes: %w", err)
	}
	config, namespace, err := o.Config()
	if err != nil {
		return failed(err)
	}
	if o.Namespace != "" {
		namespace = o.Namespace
	}
	client, err := kubeapi.Client(config)
	if err != nil {
		return failed(err)
	}
	api, err := kubeapi.JSON(config, client)
	if err != nil {
		return failed(err)
	}
	return &Fleet{
		api: api, namespace: namespace, workloads: o.Workloads, kubeconfig: o.Kubeconfig, context: o.Context,
	}, nil
}

// isWorkload is a unit's name.
var isWorkload = regexp.MustCompile(`^(deployment|statefulset)/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$`)

// workload is a Deployment or a StatefulSet, as far as they are alike.
type workload struct {
	unit, path string
	stateful   bool

	meta     metav1.ObjectMeta
	want     int
	selector *metav1.LabelSelector
	template corev1.PodTemplateSpec

	observed                  int64
	total, updated, available int32
	held                      string // why it rolls nothing out, and what to do; "" where it does
	release                   string
	failure                   string // the controller has given up
	refused                   string // pods of it are not let in
	revision                  string
}

// path is where the API has a unit.
func (f *Fleet) path(unit string) (path string, stateful bool, err error) {
	parts := isWorkload.FindStringSubmatch(unit)
	if parts == nil {
		return "", false, gone()
	}
	return f.apps(parts[1]+"s") + "/" + parts[2], parts[1] == "statefulset", nil
}

func (f *Fleet) apps(resource string) string {
	return "/apis/apps/v1/namespaces/" + f.namespace + "/" + resource
}

func gone() error {
	return fleet.Gone("`kubectl get deployments,statefulsets` lists those of the namespace")
}

func (f *Fleet) read(ctx context.Context, unit string) (w workload, err error) {
	w.unit = unit
	if w.path, w.stateful, err = f.path(unit); err != nil {
		return w, err
	}
	if w.stateful {
		var s appsv1.StatefulSet
		if err := f.get(ctx, w.path, &s); err != nil {
			return w, err
		}
		w.fromStatefulSet(&s)
		return w, nil
	}
	var d appsv1.Deployment
	if err := f.get(ctx, w.path, &d); err != nil {
		return w, err
	}
	w.fromDeployment(&d)
	return w, nil
}

func (w *workload) fromDeployment(d *appsv1.Deployment) {
	w.meta, w.want, w.selector, w.template = d.ObjectMeta, replicas(d.Spec.Replicas), d.Spec.Selector, d.Spec.Template
	w.observed, w.total, w.updated, w.available = d.Status.ObservedGeneration, d.Status.Replicas,
		d.Status.UpdatedReplicas, d.Status.AvailableReplicas
	w.revision = d.Annotations[annotationRevision]
	if d.Spec.Paused {
		w.held, w.release = "it is paused", "`kubectl rollout resume`"
	}
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse &&
			c.Reason == "ProgressDeadlineExceeded":
			w.failure = c.Reason
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			w.refused = program.Clean(c.Reason)
		}
	}
}

func (w *workload) fromStatefulSet(s *appsv1.StatefulSet) {
	w.meta, w.want, w.selector, w.template = s.ObjectMeta, replicas(s.Spec.Replicas), s.Spec.Selector, s.Spec.Template
	w.observed, w.total, w.updated, w.available = s.Status.ObservedGeneration, s.Status.Replicas,
		s.Status.UpdatedReplicas, s.Status.AvailableReplicas
	switch rolling := s.Spec.UpdateStrategy.RollingUpdate; {
	case s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		w.held, w.release = "its updateStrategy is OnDelete: nothing replaces its pods",
			"give it the strategy RollingUpdate"
	case rolling != nil && rolling.Partition != nil && *rolling.Partition > 0:
		w.held = fmt.Sprintf("its updateStrategy has the partition %d: pods below that are not replaced",
			*rolling.Partition)
		w.release = "set rollingUpdate.partition to 0"
	}
	if w.revision = s.Status.UpdateRevision; s.Status.CurrentRevision == s.Status.UpdateRevision {
		w.updated = w.total // the controller counts updated ones only while there are others
	}
}

func replicas(n *int32) int {
	if n == nil {
		return 1
	}
	return int(*n)
}

// generation changes with each restart, by kubectl too.
func (w *workload) generation() string {
	return "at " +
		strings.TrimSpace(w.template.Annotations[annotationRestarted]+" "+w.template.Annotations[annotationRestart])
}

// List implements fleet.Orchestrator.
func (f *Fleet) List(ctx context.Context) ([]fleet.Unit, error) {
	var units []fleet.Unit
	for _, name := range f.workloads {
		u, err := f.Look(ctx, name)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	return units, nil
}

// Look implements fleet.Orchestrator.
func (f *Fleet) Look(ctx context.Context, unit string) (fleet.Unit, error) {
	w, err := f.read(ctx, unit)
	if err == nil {
		var pods []corev1.Pod
		if pods, err = f.pods(ctx, &w); err == nil {
			return f.describe(&w, pods), nil
		}
	}
	return fleet.Unit{}, fmt.Errorf("looking at %q in namespace %q: %w", unit, f.namespace, err)
}

// Restart implements fleet.Orchestrator. n8n has the pods' terminationGracePeriodSeconds to end.
func (f *Fleet) Restart(ctx context.Context, unit string, _ time.Duration) error {
	return f.change(ctx, "restarting", unit, func(w *workload) (types.PatchType, any, error) {
		if w.held != "" {
			return "", nil, w.errHeld()
		}
		return types.StrategicMergePatchType, patch("template",
			map[string]any{"metadata": map[string]any{"annotations": map[string]string{
				annotationRestarted: time.Now().UTC().Format(time.RFC3339), annotationRestart: rand.Text(),
			}}}), nil
	})
}

func (w *workload) errHeld() error {
	return fault.WithHint(fmt.Errorf("%w: %s", fleet.ErrNotAllowed, w.held), w.release)
}

// Revert implements fleet.Reverter.
func (f *Fleet) Revert(ctx context.Context, unit, revision string) error {
	return f.change(ctx, "reverting", unit, func(w *workload) (types.PatchType, any, error) {
		switch {
		case w.revision == revision:
			return "", nil, nil
		case w.held != "":
			return "", nil, w.errHeld()
		case w.stateful:
			return f.formerStateful(ctx, w, revision)
		}
		return f.former(ctx, w, revision)
	})
}

// Stop implements fleet.Scaler.
func (f *Fleet) Stop(ctx context.Context, unit string, _ time.Duration) error {
	return f.Start(ctx, unit, 0)
}

// Start implements fleet.Scaler.
func (f *Fleet) Start(ctx context.Context, unit string, want int) error {
	return f.change(ctx, "scaling", unit, func(w *workload) (types.PatchType, any, error) {
		if w.want == want {
			return "", nil, nil
		}
		return types.MergePatchType, patch("replicas", want), nil
	})
}

func patch(key string, value any) any { return map[string]any{"spec": map[string]any{key: value}} }

// change patches a workload with what by makes of it; no patch type: there is nothing to change.
func (f *Fleet) change(ctx context.Context, doing, unit string,
	by func(*workload) (types.PatchType, any, error),
) error {
	w, err := f.read(ctx, unit)
	if err == nil {
		var kind types.PatchType
		var body any
		if kind, body, err = by(&w); err == nil && kind != "" {
			err = f.patch(ctx, w.path, kind, body)
		}
	}
	if err != nil {
		return fmt.Errorf("%s %q in namespace %q: %w", doing, unit, f.namespace, err)
	}
	return nil
}

// former is the patch that brings the template of a Deployment's revision back.
func (f *Fleet) former(ctx context.Context, w *workload, revision string) (types.PatchType, any, error) {
	var sets appsv1.ReplicaSetList
	if err := f.list(ctx, f.apps("replicasets"), w.selector, &sets); err != nil {
		return "", nil, err
	}
	for i := range sets.Items {
		set := &sets.Items[i]
		if metav1.IsControlledBy(set, &w.meta) && set.Annotations[annotationRevision] == revision {
			template := set.Spec.Template
			delete(template.Labels, labelTemplateHash)
			return types.JSONPatchType, []any{map[string]any{
				"op": "replace", "path": "/spec/template",
				"value": template,
			}}, nil
		}
	}
	return "", nil, noRevision()
}

// formerStateful is the patch that a ControllerRevision holds: it replaces the template.
func (f *Fleet) formerStateful(ctx context.Context, w *workload, revision string) (types.PatchType, any, error) {
	var held appsv1.ControllerRevision
	if !isWorkload.MatchString("statefulset/" + revision) {
		return "", nil, noRevision()
	}
	err := f.get(ctx, f.apps("controllerrevisions")+"/"+revision, &held)
	if errors.Is(err, fleet.ErrGone) || err == nil && !metav1.IsControlledBy(&held, &w.meta) {
		return "", nil, noRevision()
	}
	return types.StrategicMergePatchType, json.RawMessage(held.Data.Raw), err
}

func noRevision() error {
	return fault.WithHint(fleet.ErrNoRevision,
		"revisionHistoryLimit says how many are kept; `kubectl rollout history` shows them")
}

func (f *Fleet) pods(ctx context.Context, w *workload) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := f.list(ctx, "/api/v1/namespaces/"+f.namespace+"/pods", w.selector, &pods); err != nil {
		return nil, err
	}
	return pods.Items, nil
}

func (f *Fleet) list(ctx context.Context, path string, by *metav1.LabelSelector, into any) error {
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil || selector.Empty() {
		return errors.New("the workload has no selector that can be understood")
	}
	return f.call(ctx, f.api.Get().AbsPath(path).Param("labelSelector", selector.String()), rule{"list", path}, into)
}

func (f *Fleet) get(ctx context.Context, path string, into any) error {
	return f.call(ctx, f.api.Get().AbsPath(path), rule{"get", path}, into)
}

func (f *Fleet) patch(ctx context.Context, path string, kind types.PatchType, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return f.call(ctx, f.api.Patch(kind).AbsPath(path).Body(text), rule{"patch", path}, nil)
}

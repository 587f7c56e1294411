package kubernetes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sallyport/internal/fleet"
	"sallyport/internal/program"
)

// podGrace is what pods without terminationGracePeriodSeconds have.
const podGrace = 30 * time.Second

// describe is a workload as the port has it.
func (f *Fleet) describe(w *workload, pods []corev1.Pod) fleet.Unit {
	u := fleet.Unit{Name: w.unit, Generation: w.generation(), Revision: w.revision, Want: w.want, Grace: podGrace}
	if seconds := w.template.Spec.TerminationGracePeriodSeconds; seconds != nil {
		u.Grace = time.Duration(*seconds) * time.Second
	}
	waiting := ""
	for i := range pods {
		if phase := pods[i].Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
			continue
		}
		u.Nodes = append(u.Nodes, f.node(&pods[i]))
		waiting = cmp.Or(waiting, w.waitsFor(&pods[i]))
	}
	slices.SortFunc(u.Nodes, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
	u.State, u.Problem = w.state(len(u.Nodes))
	if waiting != "" && (u.State == fleet.Changing || u.State == fleet.Failed) {
		u.Problem += "; " + waiting
	}
	return u
}

func (w *workload) state(pods int) (state fleet.State, problem string) {
	want := int32(w.want) //nolint:gosec // from an int32
	switch {
	case w.observed < w.meta.Generation:
		return fleet.Changing, "Kubernetes has not begun with it"
	case w.failure != "":
		return fleet.Failed, "Kubernetes has given up: " + w.failure
	case w.want == 0 && w.total == 0 && pods == 0:
		return fleet.Stopped, ""
	case w.updated == want && w.available == want && w.total == want && pods == w.want:
		return fleet.Ready, ""
	}
	problem = fmt.Sprintf("%d of %d pods are new, %d available", w.updated, w.want, w.available)
	if w.refused != "" {
		problem += "; pods are not let in: " + w.refused + ", `kubectl describe replicaset` says why"
	}
	if w.held != "" {
		problem += "; " + w.held
	}
	return fleet.Changing, problem
}

// node is a pod, and within it the container that n8n runs in.
func (f *Fleet) node(p *corev1.Pod) fleet.Node {
	where := p.Namespace + "/" + p.Name
	if c := containerOf(p); c != "" {
		where += "/" + c
	}
	n := fleet.Node{
		Name: p.Name, Address: p.Status.PodIP, Instance: string(p.UID),
		Way: fleet.NewWay("kubectl", where, "kubeconfig", f.kubeconfig, "context", f.context),
	}
	for _, s := range p.Status.ContainerStatuses {
		n.Instance += fmt.Sprintf(" %d", s.RestartCount)
	}
	for _, c := range p.Status.Conditions {
		n.Ready = n.Ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil
	}
	return n
}

// containerOf is the container whose name or image says n8n, where exactly one of several does.
func containerOf(p *corev1.Pod) (found string) {
	if named := p.Annotations["kubectl.kubernetes.io/default-container"]; named != "" {
		return named
	}
	for _, c := range p.Spec.Containers {
		if len(p.Spec.Containers) == 1 || !strings.Contains(c.Name, "n8n") && !strings.Contains(c.Image, "n8n") {
			continue
		}
		if found != "" {
			return ""
		}
		found = c.Name
	}
	return found
}

// waitsFor is why a pod of the workload does not run. A StatefulSet replaces no pod that has never been ready, not even
// when its template has gone back: a person has to delete that pod (kubernetes.io, "Forced rollback").
func (w *workload) waitsFor(p *corev1.Pod) string {
	text := waitsFor(p)
	if text != "" && w.stateful && p.DeletionTimestamp == nil && p.Labels[labelRevision] != w.revision {
		text += ", and Kubernetes does not replace it: `kubectl delete pod " + p.Name + "`"
	}
	return text
}

// waitsFor is why a pod does not run: CrashLoopBackOff, ImagePullBackOff, Unschedulable, or a machine that does not say
// that the pod has ended.
func waitsFor(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		text := fmt.Sprintf("pod %s is ending", p.Name)
		if p.Status.Reason != "" {
			text += ": " + program.Clean(p.Status.Reason)
		}
		return text
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.State.Waiting != nil && s.State.Waiting.Reason != "" && s.State.Waiting.Reason != "PodInitializing" {
			text := fmt.Sprintf("pod %s: %s", p.Name, program.Clean(s.State.Waiting.Reason))
			if last := s.LastTerminationState.Terminated; last != nil {
				text += fmt.Sprintf(", it ended with %d", last.ExitCode)
			}
			return text
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("pod %s: %s", p.Name, program.Clean(c.Reason))
		}
	}
	return ""
}

package site

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"sallyport/internal/fault"
	"sallyport/internal/kubeapi"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/secret"
)

// Cluster is a Kubernetes API server as one who is named.
type Cluster struct {
	Namespace string // of the account
	api       *rest.RESTClient
}

// Cluster opens the site's cluster. It contacts nobody.
func (s *Site) Cluster() (*Cluster, error) {
	conf, namespace, err := s.Kube.Config()
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("reaching Kubernetes: %w", err), "--kubeconfig names a file that works")
	}
	httpClient, err := kubeapi.Client(conf)
	if err != nil {
		return nil, fmt.Errorf("reaching Kubernetes: %w", err)
	}
	api, err := kubeapi.JSON(conf, httpClient)
	if err != nil {
		return nil, fmt.Errorf("reaching Kubernetes: %w", err)
	}
	return &Cluster{Namespace: cmp.Or(s.Namespace, namespace, "default"), api: api}, nil
}

// Get reads what is at a path of the API, which has a query of its own.
func (c *Cluster) Get(ctx context.Context, path string, query map[string]string) ([]byte, error) {
	r := c.api.Get().AbsPath(path)
	for name, value := range query {
		r = r.Param(name, value)
	}
	body, err := r.Do(kubeapi.Silent(ctx)).Raw()
	if err != nil {
		return nil, kubeError(ctx, "reading "+path, err)
	}
	return body, nil
}

// kubeError says what an API server's error means; nothing that it said is quoted.
func kubeError(ctx context.Context, doing string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case apierrors.IsForbidden(err):
		return fault.WithHint(fmt.Errorf("%s: the API server refuses this account", doing),
			"give it get and list there, or name another with --kubeconfig")
	case apierrors.IsUnauthorized(err):
		return fault.WithHint(fmt.Errorf("%s: the API server does not know this account", doing),
			"is the kubeconfig's token or certificate still valid?")
	case apierrors.IsNotFound(err):
		return fault.WithHint(fmt.Errorf("%s: there is no such thing", doing), "is the namespace right?")
	}
	return fault.WithHint(fmt.Errorf("%s: the API server cannot be reached, or is none", doing),
		"is the address in the kubeconfig right, and the server up?")
}

// Pods are n8n's pods, and the cluster that has them.
func (s *Site) Pods(ctx context.Context) ([]Workload, *Cluster, error) {
	list, _, err := s.pods(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.Cluster()
	return list, c, err
}

// pods are the containers of a namespace's pods that run n8n.
func (s *Site) pods(ctx context.Context) (list []Workload, namespace string, err error) {
	c, err := s.Cluster()
	if err != nil {
		return nil, s.Namespace, err
	}
	query := map[string]string{"limit": fmt.Sprint(maxWorkloads)}
	if s.Selector != "" {
		query["labelSelector"] = s.Selector
	}
	body, err := c.Get(ctx, "/api/v1/namespaces/"+c.Namespace+"/pods", query)
	if err != nil {
		return nil, c.Namespace, err
	}
	var pods corev1.PodList
	if err := json.Unmarshal(body, &pods); err != nil {
		return nil, c.Namespace, fault.WithHint(fmt.Errorf("reading the pods of namespace %q: it is no list of pods",
			c.Namespace), "is it a Kubernetes API server?")
	}
	if pods.Continue != "" {
		return nil, c.Namespace, fault.WithHint(fmt.Errorf("there are more than %d pods", maxWorkloads),
			"--kubectl-selector KEY=VALUE leaves out those that are not n8n's")
	}
	for i := range pods.Items {
		for j := range pods.Items[i].Spec.Containers {
			if w, is := podWorkload(ctx, c, &pods.Items[i], &pods.Items[i].Spec.Containers[j]); is {
				list = append(list, w)
			}
		}
	}
	return list, c.Namespace, nil
}

// podWorkload reads a container of a pod, and tells whether it runs n8n.
func podWorkload(ctx context.Context, c *Cluster, pod *corev1.Pod, in *corev1.Container) (Workload, bool) {
	w := Workload{
		Name: fmt.Sprintf("pod %s/%s (%s)", pod.Namespace, pod.Name, in.Name), Way: "kubernetes",
		Labels: pod.Labels, Image: in.Image, Version: TagVersion(in.Image), Vars: make(map[string]Var),
	}
	role, is := environment.Command(slices.Concat(in.Command, in.Args), w.Lookup)
	if !is && !IsImage(in.Image) {
		return w, false
	}
	if w.Role = role; w.Role == "" && len(in.Args) > 0 {
		w.Role = environment.Role(in.Args[0])
	}
	for _, from := range in.EnvFrom {
		switch {
		case from.ConfigMapRef != nil:
			if err := c.configMap(ctx, pod.Namespace, from.ConfigMapRef.Name, from.Prefix, w.Vars); err != nil {
				w.Blind = fmt.Sprintf("config map %s: %v", from.ConfigMapRef.Name, err)
			}
		case from.SecretRef != nil:
			// which variables there are in it, only who may read Secrets can tell, and doctor asks for no such right
			w.Blind = cmp.Or(w.Blind, "it takes variables from secret "+from.SecretRef.Name)
		}
	}
	for _, v := range in.Env {
		w.Vars[v.Name] = varOf(v)
	}
	w.Mounts = mountsOf(pod, in)
	return w, true
}

func varOf(v corev1.EnvVar) Var {
	from := v.ValueFrom
	switch {
	case from == nil:
		return Var{Value: secret.NewValue([]byte(v.Value))}
	case from.SecretKeyRef != nil:
		return Var{From: fmt.Sprintf("secret %s, key %s", from.SecretKeyRef.Name, from.SecretKeyRef.Key)}
	case from.ConfigMapKeyRef != nil:
		return Var{
			From: fmt.Sprintf("config map %s, key %s", from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key), Open: true,
		}
	}
	return Var{From: "the pod itself"}
}

// configMap adds the variables of a config map.
func (c *Cluster) configMap(ctx context.Context, namespace, name, prefix string, into map[string]Var) error {
	body, err := c.Get(ctx, "/api/v1/namespaces/"+namespace+"/configmaps/"+name, nil)
	if err != nil {
		return err
	}
	var held corev1.ConfigMap
	if err := json.Unmarshal(body, &held); err != nil {
		return fmt.Errorf("it is no config map")
	}
	for key := range held.Data {
		if environment.Knows(prefix + key) {
			v := Var{Value: secret.NewValue([]byte(held.Data[key]))}
			if strings.HasPrefix(prefix+key, environment.KeyName) {
				v = Var{From: "config map " + name, Open: true}
			}
			into[prefix+key] = v
		}
	}
	return nil
}

func mountsOf(pod *corev1.Pod, in *corev1.Container) (list []Mount) {
	for _, m := range in.VolumeMounts {
		one := Mount{Kind: "volume", Name: m.Name, Path: m.MountPath}
		for i := range pod.Spec.Volumes {
			if v := &pod.Spec.Volumes[i]; v.Name == m.Name {
				one.Kind, one.Name = volumeOf(v)
			}
		}
		list = append(list, one)
	}
	return list
}

func volumeOf(v *corev1.Volume) (kind, name string) {
	switch {
	case v.Secret != nil:
		return "secret", v.Secret.SecretName
	case v.ConfigMap != nil:
		return "configMap", v.ConfigMap.Name
	case v.PersistentVolumeClaim != nil:
		return "persistentVolumeClaim", v.PersistentVolumeClaim.ClaimName
	case v.EmptyDir != nil:
		return "emptyDir", v.Name
	case v.HostPath != nil:
		return "hostPath", v.HostPath.Path
	case v.Projected != nil:
		return "projected", v.Name
	case v.CSI != nil:
		return "csi", v.Name
	}
	return "volume", v.Name
}

package azurefake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type failure struct {
	status      int
	code, inner string
}

func notFound() *failure { return &failure{http.StatusNotFound, "SecretNotFound", ""} }

type entry struct {
	name     string
	versions []*version // oldest first
	deleted  bool
	lag      int // requests until what was begun is through
}

type version struct {
	id          string
	value       string
	contentType *string
	tags        map[string]string
	enabled     bool
	created     time.Time
}

// bundle is the body of a write.
type bundle struct {
	Value       *string
	ContentType *string
	Tags        map[string]string
	Attributes  struct{ Enabled *bool }
}

type object = map[string]any

//nolint:gochecknoglobals // compiled once
var (
	nameRule    = regexp.MustCompile(`^[0-9a-zA-Z-]{1,127}$`)
	versionRule = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// do serves the paths below /secrets and /deletedsecrets.
func (s *Server) do(r *http.Request) (any, *failure) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var in bundle
	if r.Method == http.MethodPut || r.Method == http.MethodPatch {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, &failure{http.StatusBadRequest, "BadParameter", ""}
		}
	}
	if len(parts) == 1 && parts[0] == "secrets" && r.Method == http.MethodGet {
		return s.list(r)
	}
	if len(parts) < 2 || len(parts) > 3 || !nameRule.MatchString(parts[1]) {
		return nil, &failure{http.StatusBadRequest, "BadParameter", ""}
	}
	name, rest := parts[1], strings.Join(parts[2:], "")
	switch route := r.Method + " " + parts[0]; {
	case route == "GET secrets" && rest == "versions":
		return s.listVersions(r, name)
	case route == "GET secrets":
		return s.get(name, rest)
	case route == "PUT secrets" && rest == "":
		return s.set(name, &in)
	case route == "PATCH secrets":
		return s.update(name, rest, &in)
	case route == "DELETE secrets" && rest == "":
		return s.remove(name)
	case route == "POST deletedsecrets" && rest == "recover":
		return s.recover(name)
	case route == "DELETE deletedsecrets" && rest == "":
		return s.purge(name)
	}
	return nil, &failure{http.StatusMethodNotAllowed, "MethodNotAllowed", ""}
}

// alive finds a secret that can be used now.
func (s *Server) alive(name string) (*entry, *failure) {
	e, ok := s.secrets[strings.ToLower(name)]
	if !ok || e.deleted || e.waits() {
		return nil, notFound()
	}
	return e, nil
}

// waits tells whether a deletion or recovery is still going on; each asking brings it nearer to its end.
func (e *entry) waits() bool {
	if e.lag == 0 {
		return false
	}
	e.lag--
	return true
}

func (e *entry) find(id string) (*version, *failure) {
	if id == "" {
		return e.versions[len(e.versions)-1], nil
	}
	if !versionRule.MatchString(id) {
		return nil, &failure{http.StatusBadRequest, "BadParameter", ""}
	}
	for _, v := range e.versions {
		if v.id == id {
			return v, nil
		}
	}
	return nil, notFound()
}

// tell is what the service says of a version, without its value.
func (s *Server) tell(e *entry, v *version) object {
	seconds := v.created.Unix()
	out := object{
		"id": fmt.Sprintf("%s/secrets/%s/%s", s.URL, e.name, v.id), "tags": v.tags,
		"attributes": object{
			"enabled": v.enabled, "created": seconds, "updated": seconds,
			"recoveryLevel": "Recoverable+Purgeable",
		},
	}
	if v.contentType != nil {
		out["contentType"] = *v.contentType
	}
	return out
}

func (s *Server) show(e *entry, v *version) object {
	out := s.tell(e, v)
	out["value"] = v.value
	return out
}

func (s *Server) get(name, id string) (any, *failure) {
	e, failed := s.alive(name)
	if failed != nil {
		return nil, failed
	}
	v, failed := e.find(id)
	switch {
	case failed != nil:
		return nil, failed
	case !v.enabled:
		return nil, &failure{http.StatusForbidden, "Forbidden", "SecretDisabled"}
	}
	return s.show(e, v), nil
}

func (s *Server) set(name string, in *bundle) (any, *failure) {
	if in.Value == nil || len(*in.Value) > MaxValue && !s.AnySize {
		return nil, &failure{http.StatusBadRequest, "BadParameter", ""}
	}
	e, ok := s.secrets[strings.ToLower(name)]
	if !ok {
		e = &entry{name: name}
		s.secrets[strings.ToLower(name)] = e
	}
	switch deleted := e.deleted; {
	case e.waits() && deleted:
		return nil, &failure{http.StatusConflict, "Conflict", "ObjectIsBeingDeleted"}
	case e.lag > 0:
		return nil, &failure{http.StatusConflict, "Conflict", "ObjectIsBeingRecovered"}
	case deleted:
		return nil, &failure{http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable"}
	}
	if !s.SameSecond {
		s.clock = s.clock.Add(time.Second)
	}
	v := &version{id: random(), value: *in.Value, contentType: in.ContentType, tags: in.Tags, created: s.clock}
	v.enabled = in.Attributes.Enabled == nil || *in.Attributes.Enabled
	e.versions = append(e.versions, v)
	return s.show(e, v), nil
}

func (s *Server) update(name, id string, in *bundle) (any, *failure) {
	e, failed := s.alive(name)
	if failed != nil {
		return nil, failed
	}
	v, failed := e.find(id)
	if failed != nil {
		return nil, failed
	}
	if in.Attributes.Enabled != nil {
		v.enabled = *in.Attributes.Enabled
	}
	if in.Tags != nil {
		v.tags = in.Tags
	}
	return s.tell(e, v), nil
}

func (s *Server) remove(name string) (any, *failure) {
	e, failed := s.alive(name)
	if failed != nil {
		return nil, failed
	}
	e.deleted, e.lag = true, s.Lag
	return s.show(e, e.versions[len(e.versions)-1]), nil
}

// buried finds a secret whose deletion is through.
func (s *Server) buried(name string) (*entry, *failure) {
	e, ok := s.secrets[strings.ToLower(name)]
	if !ok || !e.deleted || e.waits() {
		return nil, notFound()
	}
	return e, nil
}

func (s *Server) recover(name string) (any, *failure) {
	e, failed := s.buried(name)
	if failed != nil {
		return nil, failed
	}
	e.deleted, e.lag = false, s.Lag
	return s.tell(e, e.versions[len(e.versions)-1]), nil
}

func (s *Server) purge(name string) (any, *failure) {
	if _, failed := s.buried(name); failed != nil {
		return nil, failed
	}
	delete(s.secrets, strings.ToLower(name))
	return nil, nil
}

// page cuts a listing; the link to the next page is a whole URL.
func (s *Server) page(r *http.Request, all []object) object {
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("maxresults"))
	size = cmp.Or(size, 25)
	start, _ := strconv.Atoi(q.Get("$skiptoken"))
	part := all[min(start, len(all)):]
	out := object{"nextLink": nil}
	if len(part) > size {
		part = part[:size]
		q.Set("$skiptoken", strconv.Itoa(start+size))
		out["nextLink"] = s.URL + r.URL.Path + "?" + q.Encode()
	}
	out["value"] = part
	return out
}

func (s *Server) list(r *http.Request) (any, *failure) {
	all := []object{}
	for _, key := range slices.Sorted(maps.Keys(s.secrets)) {
		e := s.secrets[key]
		if e.deleted || e.lag > 0 {
			continue
		}
		listed := s.tell(e, e.versions[len(e.versions)-1])
		listed["id"] = s.URL + "/secrets/" + e.name // without the version
		all = append(all, listed)
	}
	return s.page(r, all), nil
}

// listVersions answers with an empty list for what there is not, as the service does.
func (s *Server) listVersions(r *http.Request, name string) (any, *failure) {
	all := []object{}
	if e, failed := s.alive(name); failed == nil {
		for _, v := range e.versions {
			all = append(all, s.tell(e, v))
		}
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(fmt.Sprint(a["id"]), fmt.Sprint(b["id"])) })
	return s.page(r, all), nil
}

// Tag sets the tags and the content type of the current version of name.
func (s *Server) Tag(name, contentType string, tags map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.secrets[name]
	v := e.versions[len(e.versions)-1]
	v.tags, v.contentType = tags, &contentType
}

// Tags returns the tags and the content type of the current version of name.
func (s *Server) Tags(name string) (contentType string, tags map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.secrets[name]
	v := e.versions[len(e.versions)-1]
	if v.contentType != nil {
		contentType = *v.contentType
	}
	return contentType, maps.Clone(v.tags)
}

// Disable makes a version of name unreadable; "" is the current one.
func (s *Server) Disable(name, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, failed := s.secrets[name].find(id); failed == nil {
		v.enabled = false
	}
}

package awsfake

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// request has the members of all requests; JSON finds them whatever the case of their names.
type request struct {
	SecretID            string
	Name                string
	SecretString        *string
	SecretBinary        []byte
	ClientRequestToken  string
	VersionID           string
	VersionStage        string
	VersionStages       []string
	MoveToVersionID     string
	RemoveFromVersionID string
	SecretIDList        []string
	IncludeDeprecated   bool
	NextToken           string
	MaxResults          int
	Filters             []struct {
		Key    string
		Values []string
	}
	RecoveryWindowInDays       int
	ForceDeleteWithoutRecovery bool
}

type entry struct {
	name, arn string
	changed   time.Time
	deleted   time.Time // the end of the recovery window; zero if it is not deleted
	versions  map[string]*version
}

type version struct {
	id      string
	text    *string
	binary  []byte
	created time.Time
	stages  []string
}

type object = map[string]any

//nolint:gochecknoglobals // compiled once
var (
	nameRule  = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
	tokenRule = regexp.MustCompile(`^.{32,64}$`)
)

// now is a clock that never shows the same millisecond twice.
func (s *Server) now() time.Time {
	s.clock = s.clock.Add(7 * time.Millisecond)
	return s.clock
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// find looks up a name, an ARN, or an ARN without its last seven characters.
func (s *Server) find(id string) (*entry, *failure) {
	if !strings.HasPrefix(id, "arn:") && !nameRule.MatchString(id) {
		return nil, bad("ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if e, ok := s.secrets[id]; ok {
		return e, nil
	}
	for _, e := range s.secrets {
		if id == e.arn || id == e.arn[:len(e.arn)-7] {
			return e, nil
		}
	}
	return nil, bad("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (s *Server) alive(id string) (*entry, *failure) {
	e, failed := s.find(id)
	if failed == nil && !e.deleted.IsZero() {
		return nil, bad("InvalidRequestException",
			"You can't perform this operation on the secret because it was marked for deletion.")
	}
	return e, failed
}

func (e *entry) staged(stage string) *version {
	for _, v := range e.versions {
		if slices.Contains(v.stages, stage) {
			return v
		}
	}
	return nil
}

// give attaches stage to v and takes it from the version that had it. AWSPREVIOUS follows AWSCURRENT.
func (e *entry) give(stage string, v *version) {
	old := e.staged(stage)
	if old == v {
		return
	}
	if old != nil {
		old.drop(stage)
		if stage == "AWSCURRENT" {
			e.give("AWSPREVIOUS", old)
		}
	}
	v.stages = append(v.stages, stage)
}

func (v *version) drop(stage string) {
	v.stages = slices.DeleteFunc(v.stages, func(s string) bool { return s == stage })
}

func (s *Server) get(in *request) (any, *failure) {
	e, failed := s.alive(in.SecretID)
	if failed != nil {
		return nil, failed
	}
	if in.VersionID != "" && !tokenRule.MatchString(in.VersionID) {
		return nil, bad("InvalidParameterException", "Invalid length for parameter VersionId.")
	}
	v, wanted := e.versions[in.VersionID], "VersionId: "+in.VersionID
	if in.VersionID == "" {
		stage := cmp.Or(in.VersionStage, "AWSCURRENT")
		v, wanted = e.staged(stage), "staging label: "+stage
	}
	if v == nil {
		return nil, bad("ResourceNotFoundException",
			"Secrets Manager can't find the specified secret value for %s", wanted)
	}
	return e.show(v), nil
}

func (e *entry) show(v *version) object {
	out := object{
		"ARN": e.arn, "Name": e.name, "VersionId": v.id, "VersionStages": v.stages,
		"CreatedDate": epoch(v.created),
	}
	if v.text != nil {
		out["SecretString"] = *v.text
	} else {
		out["SecretBinary"] = v.binary
	}
	return out
}

func (s *Server) batch(in *request) (any, *failure) {
	if len(in.SecretIDList) > 20 {
		return nil, bad("InvalidParameterException", "SecretIdList has more than 20 entries.")
	}
	values, failures := []any{}, []any{}
	for _, id := range in.SecretIDList {
		out, failed := s.get(&request{SecretID: id})
		if s.Allowed != nil && !s.Allowed("GetSecretValue", id) {
			failed = denied("GetSecretValue", id)
		}
		if failed != nil {
			failures = append(failures, object{"SecretId": id, "ErrorCode": failed.code, "Message": failed.message})
			continue
		}
		values = append(values, out)
	}
	return object{"SecretValues": values, "Errors": failures}, nil
}

func (s *Server) checkValue(in *request) *failure {
	size := len(in.SecretBinary)
	if in.SecretString != nil {
		size = len(*in.SecretString)
	}
	switch {
	case in.SecretString != nil && in.SecretBinary != nil, size == 0:
		return bad("InvalidParameterException", "You must provide either SecretString or SecretBinary.")
	case size > MaxValue && !s.AnySize:
		return bad("ValidationException",
			"Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536")
	case !tokenRule.MatchString(in.ClientRequestToken):
		return bad("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
	}
	return nil
}

func (s *Server) put(in *request) (any, *failure) {
	e, failed := s.alive(in.SecretID)
	if failed = cmp.Or(failed, s.checkValue(in)); failed != nil {
		return nil, failed
	}
	return s.add(e, in)
}

// add makes a version of e; the same token with the same value is the same version, and with another one a conflict.
func (s *Server) add(e *entry, in *request) (any, *failure) {
	v, known := e.versions[in.ClientRequestToken]
	if known && !v.has(in) {
		return nil, bad("ResourceExistsException",
			"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.",
			in.ClientRequestToken, e.arn)
	}
	if !known {
		v = &version{id: in.ClientRequestToken, text: in.SecretString, binary: in.SecretBinary, created: s.now()}
		e.versions[v.id], e.changed = v, v.created
		stages := in.VersionStages
		if len(stages) == 0 {
			stages = []string{"AWSCURRENT"}
		}
		for _, stage := range append(stages, missing(e)...) {
			e.give(stage, v)
		}
	}
	return object{"ARN": e.arn, "Name": e.name, "VersionId": v.id, "VersionStages": v.stages}, nil
}

// missing is AWSCURRENT for the first version of a secret, which gets it whatever was asked.
func missing(e *entry) []string {
	if len(e.versions) == 1 {
		return []string{"AWSCURRENT"}
	}
	return nil
}

func (v *version) has(in *request) bool {
	if v.text != nil && in.SecretString != nil {
		return *v.text == *in.SecretString
	}
	return v.text == nil && in.SecretString == nil && bytes.Equal(v.binary, in.SecretBinary)
}

func (s *Server) create(in *request) (any, *failure) {
	if !nameRule.MatchString(in.Name) {
		return nil, bad("ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if failed := s.checkValue(in); failed != nil {
		return nil, failed
	}
	if e, ok := s.secrets[in.Name]; ok {
		if !e.deleted.IsZero() {
			return nil, bad("InvalidRequestException",
				"You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		if _, again := e.versions[in.ClientRequestToken]; again {
			return s.add(e, in)
		}
		return nil, bad("ResourceExistsException",
			"The operation failed because the secret %s already exists.", in.Name)
	}
	s.secrets[in.Name] = &entry{name: in.Name, arn: s.arn(in.Name), versions: make(map[string]*version)}
	return s.add(s.secrets[in.Name], in)
}

func (s *Server) arn(name string) string {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, name, s.now())
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-%06x", Region, account, name, h.Sum32()&0xffffff)
}

func (s *Server) move(in *request) (any, *failure) {
	e, failed := s.alive(in.SecretID)
	if failed != nil {
		return nil, failed
	}
	holder := e.staged(in.VersionStage)
	to, known := e.versions[in.MoveToVersionID]
	switch {
	case in.MoveToVersionID != "" && !known:
		return nil, bad("ResourceNotFoundException",
			"Secrets Manager can't find the specified secret value for VersionId: %s", in.MoveToVersionID)
	case in.RemoveFromVersionID != "" && (holder == nil || holder.id != in.RemoveFromVersionID):
		return nil, bad("InvalidParameterException",
			"The parameter RemoveFromVersionId can't be used because staging label %s isn't currently attached to "+
				"version %s.", in.VersionStage, in.RemoveFromVersionID)
	case in.RemoveFromVersionID == "" && holder != nil && holder != to:
		return nil, bad("InvalidParameterException",
			"The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, "+
				"so you must explicitly reference that version in RemoveFromVersionId.", in.VersionStage, holder.id)
	case in.MoveToVersionID == "" && in.VersionStage == "AWSCURRENT":
		return nil, bad("InvalidParameterException",
			"You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.")
	}
	if known {
		e.give(in.VersionStage, to)
	} else {
		holder.drop(in.VersionStage)
	}
	e.changed = s.now()
	return object{"ARN": e.arn, "Name": e.name}, nil
}

func (e *entry) stages() map[string][]string {
	out := make(map[string][]string)
	for id, v := range e.versions {
		if len(v.stages) > 0 {
			out[id] = v.stages
		}
	}
	return out
}

func (s *Server) describe(in *request) (any, *failure) {
	e, failed := s.find(in.SecretID)
	if failed != nil {
		return nil, failed
	}
	out := object{"ARN": e.arn, "Name": e.name, "LastChangedDate": epoch(e.changed), "VersionIdsToStages": e.stages()}
	if !e.deleted.IsZero() {
		out["DeletedDate"] = epoch(e.deleted)
	}
	return out, nil
}

func (s *Server) remove(in *request) (any, *failure) {
	if in.ForceDeleteWithoutRecovery && in.RecoveryWindowInDays != 0 {
		return nil, bad("InvalidParameterException",
			"You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
	}
	e, failed := s.find(in.SecretID)
	if in.ForceDeleteWithoutRecovery {
		if failed == nil {
			delete(s.secrets, e.name)
		}
		return object{"Name": in.SecretID, "DeletionDate": epoch(s.now())}, nil
	}
	if failed == nil {
		_, failed = s.alive(in.SecretID)
	}
	if failed != nil {
		return nil, failed
	}
	e.deleted = s.now().AddDate(0, 0, cmp.Or(in.RecoveryWindowInDays, 30))
	return object{"ARN": e.arn, "Name": e.name, "DeletionDate": epoch(e.deleted)}, nil
}

func (s *Server) restore(in *request) (any, *failure) {
	e, failed := s.find(in.SecretID)
	if failed != nil {
		return nil, failed
	}
	e.deleted = time.Time{}
	return object{"ARN": e.arn, "Name": e.name}, nil
}

// page cuts names into pages; the token is where the next begins.
func page[T any](all []T, in *request) (part []T, next string) {
	start, size := 0, cmp.Or(in.MaxResults, 100)
	_, _ = fmt.Sscanf(in.NextToken, "page-%d", &start)
	part = all[min(start, len(all)):]
	if len(part) > size {
		return part[:size], fmt.Sprintf("page-%d", start+size)
	}
	return part, ""
}

func (s *Server) list(in *request) (any, *failure) {
	var all []object
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		e := s.secrets[name]
		if e.deleted.IsZero() && e.matches(in) {
			all = append(all, object{
				"ARN": e.arn, "Name": e.name, "LastChangedDate": epoch(e.changed),
				"SecretVersionsToStages": e.stages(),
			})
		}
	}
	part, next := page(all, in)
	out := object{"SecretList": part}
	if next != "" {
		out["NextToken"] = next
	}
	return out, nil
}

func (e *entry) matches(in *request) bool {
	for _, f := range in.Filters {
		if f.Key == "name" && !slices.ContainsFunc(f.Values, func(v string) bool {
			return strings.HasPrefix(e.name, v)
		}) {
			return false
		}
	}
	return true
}

func (s *Server) versions(in *request) (any, *failure) {
	e, failed := s.find(in.SecretID)
	if failed != nil {
		return nil, failed
	}
	var all []object
	for _, id := range slices.Sorted(maps.Keys(e.versions)) {
		v := e.versions[id]
		if len(v.stages) > 0 || in.IncludeDeprecated {
			all = append(all, object{"VersionId": id, "VersionStages": v.stages, "CreatedDate": epoch(v.created)})
		}
	}
	part, next := page(all, in)
	out := object{"ARN": e.arn, "Name": e.name, "Versions": part}
	if next != "" {
		out["NextToken"] = next
	}
	return out, nil
}

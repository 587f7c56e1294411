package gcpfake

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type entry struct {
	name     string
	aliases  map[string]int64
	versions []*version // the first is number 1
}

type version struct {
	data    []byte
	created time.Time
	state   secretmanagerpb.SecretVersion_State
	ends    time.Time // when it is destroyed; zero if nobody asked for that
}

//nolint:gochecknoglobals // compiled once
var (
	parentRule = regexp.MustCompile(`^projects/(` + Project + `|` + Number + `)(/locations/[a-z0-9-]+)?$`)
	idRule     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)
)

// outside is the name as answers have it, with the project's number.
func outside(name string) string {
	return strings.Replace(name, "projects/"+Project, "projects/"+Number, 1)
}

func inside(name string) string {
	return strings.Replace(name, "projects/"+Number, "projects/"+Project, 1)
}

func (s *Server) find(name string) (*entry, error) {
	parent, id, ok := strings.Cut(name, "/secrets/")
	if !ok || !idRule.MatchString(id) {
		return nil, status.Error(codes.InvalidArgument, "Invalid resource field value in the request.")
	}
	e, ok := s.secrets[inside(name)]
	if !parentRule.MatchString(parent) {
		return nil, status.Errorf(codes.PermissionDenied,
			"Permission denied on resource %s (or it may not exist).", parent)
	}
	if !ok {
		return nil, status.Errorf(codes.NotFound, "Secret [%s] not found.", outside(name))
	}
	return e, nil
}

// findVersion resolves a number or an alias.
func (s *Server) findVersion(name string) (*entry, int, error) {
	secret, id, ok := strings.Cut(name, "/versions/")
	if !ok {
		return nil, 0, status.Error(codes.InvalidArgument, "Invalid resource field value in the request.")
	}
	e, err := s.find(secret)
	if err != nil {
		return nil, 0, err
	}
	n, err := strconv.Atoi(id)
	switch {
	case id == "latest":
		n = len(e.versions)
	case err != nil:
		n = int(e.aliases[id])
	case strconv.Itoa(n) != id:
		return nil, 0, status.Error(codes.InvalidArgument, "Invalid resource field value in the request.")
	}
	if n < 1 || n > len(e.versions) {
		if len(e.versions) == 0 {
			return nil, 0, status.Errorf(codes.NotFound, "Secret [%s] not found or has no versions.", outside(secret))
		}
		return nil, 0, status.Errorf(codes.NotFound, "Secret Version [%s] not found.", outside(name))
	}
	return e, n, nil
}

func (e *entry) tell(n int) *secretmanagerpb.SecretVersion {
	v := e.versions[n-1]
	out := &secretmanagerpb.SecretVersion{
		Name: fmt.Sprintf("%s/versions/%d", outside(e.name), n), CreateTime: timestamppb.New(v.created), State: v.state,
		Etag: fmt.Sprintf(`"%x"`, n),
	}
	if !v.ends.IsZero() {
		out.ScheduledDestroyTime = timestamppb.New(v.ends)
	}
	return out
}

func checksum(b []byte) int64 {
	return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// AccessSecretVersion implements the service.
func (s *Server) AccessSecretVersion(_ context.Context,
	in *secretmanagerpb.AccessSecretVersionRequest,
) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	e, n, err := s.findVersion(in.GetName())
	if err != nil {
		return nil, err
	}
	v := e.versions[n-1]
	if v.state != secretmanagerpb.SecretVersion_ENABLED {
		return nil, status.Errorf(codes.FailedPrecondition, "Secret Version [%s] is in %s state.",
			e.tell(n).GetName(), v.state)
	}
	payload := &secretmanagerpb.SecretPayload{Data: bytes.Clone(v.data), DataCrc32C: new(checksum(v.data))}
	if s.NoChecksum {
		payload.DataCrc32C = nil
	}
	if s.Damage {
		payload.Data[0] ^= 1
	}
	return &secretmanagerpb.AccessSecretVersionResponse{Name: e.tell(n).GetName(), Payload: payload}, nil
}

// AddSecretVersion implements the service.
func (s *Server) AddSecretVersion(_ context.Context,
	in *secretmanagerpb.AddSecretVersionRequest,
) (*secretmanagerpb.SecretVersion, error) {
	e, err := s.find(in.GetParent())
	if err != nil {
		return nil, err
	}
	data := in.GetPayload().GetData()
	switch sum := in.GetPayload().DataCrc32C; {
	case len(data) == 0, len(data) > MaxValue && !s.AnySize:
		return nil, status.Error(codes.InvalidArgument, "The payload must be between 1 and 65536 bytes.")
	case sum != nil && *sum != checksum(data):
		return nil, status.Error(codes.InvalidArgument, "The checksum does not match the payload.")
	}
	s.clock = s.clock.Add(3 * time.Millisecond)
	e.versions = append(e.versions, &version{
		data: bytes.Clone(data), created: s.clock,
		state: secretmanagerpb.SecretVersion_ENABLED,
	})
	return e.tell(len(e.versions)), nil
}

// CreateSecret implements the service.
func (s *Server) CreateSecret(_ context.Context,
	in *secretmanagerpb.CreateSecretRequest,
) (*secretmanagerpb.Secret, error) {
	regional := strings.Contains(in.GetParent(), "/locations/")
	switch {
	case !parentRule.MatchString(in.GetParent()):
		return nil, status.Errorf(codes.PermissionDenied,
			"Permission denied on resource %s (or it may not exist).", in.GetParent())
	case !idRule.MatchString(in.GetSecretId()):
		return nil, status.Error(codes.InvalidArgument,
			"The provided Secret ID does not match the expected format [[a-zA-Z_0-9]+].")
	case regional == (in.GetSecret().GetReplication() != nil):
		return nil, status.Error(codes.InvalidArgument,
			"A global secret needs a replication, and a regional one has none.")
	}
	name := inside(in.GetParent()) + "/secrets/" + in.GetSecretId()
	if _, ok := s.secrets[name]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "Secret [%s] already exists.", outside(name))
	}
	s.secrets[name] = &entry{name: name}
	return &secretmanagerpb.Secret{
		Name: outside(name), Replication: in.GetSecret().GetReplication(),
		CreateTime: timestamppb.New(s.clock),
	}, nil
}

// DestroySecretVersion implements the service.
func (s *Server) DestroySecretVersion(_ context.Context,
	in *secretmanagerpb.DestroySecretVersionRequest,
) (*secretmanagerpb.SecretVersion, error) {
	e, n, err := s.findVersion(in.GetName())
	if err != nil {
		return nil, err
	}
	v := e.versions[n-1]
	switch {
	case v.state == secretmanagerpb.SecretVersion_DESTROYED:
		return nil, status.Errorf(codes.FailedPrecondition, "Secret Version [%s] is in DESTROYED state.",
			e.tell(n).GetName())
	case s.DestroyLater > 0:
		v.state, v.ends = secretmanagerpb.SecretVersion_DISABLED, s.clock.Add(s.DestroyLater)
	default:
		v.state, v.data = secretmanagerpb.SecretVersion_DESTROYED, nil
	}
	return e.tell(n), nil
}

// page cuts a listing; the token is where the next begins.
func page[T any](all []T, size int32, token string) (part []T, next string, err error) {
	start := 0
	if token != "" {
		if start, err = strconv.Atoi(token); err != nil || start > len(all) {
			return nil, "", status.Error(codes.InvalidArgument, "The page token is invalid.")
		}
	}
	if size <= 0 || size > 25000 {
		size = 25000
	}
	part = all[start:]
	if len(part) > int(size) {
		return part[:size], strconv.Itoa(start + int(size)), nil
	}
	return part, "", nil
}

// ListSecrets implements the service.
func (s *Server) ListSecrets(_ context.Context,
	in *secretmanagerpb.ListSecretsRequest,
) (*secretmanagerpb.ListSecretsResponse, error) {
	if !parentRule.MatchString(in.GetParent()) {
		return nil, status.Errorf(codes.PermissionDenied,
			"Permission denied on resource %s (or it may not exist).", in.GetParent())
	}
	var all []*secretmanagerpb.Secret
	for _, name := range slices.Sorted(maps.Keys(s.secrets)) {
		if strings.HasPrefix(name, inside(in.GetParent())+"/secrets/") {
			all = append(all, &secretmanagerpb.Secret{Name: outside(name)})
		}
	}
	part, next, err := page(all, in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &secretmanagerpb.ListSecretsResponse{Secrets: part, NextPageToken: next}, nil
}

// ListSecretVersions implements the service: newest first.
func (s *Server) ListSecretVersions(_ context.Context,
	in *secretmanagerpb.ListSecretVersionsRequest,
) (*secretmanagerpb.ListSecretVersionsResponse, error) {
	e, err := s.find(in.GetParent())
	if err != nil {
		return nil, err
	}
	var all []*secretmanagerpb.SecretVersion
	for n := len(e.versions); n > 0; n-- {
		all = append(all, e.tell(n))
	}
	part, next, err := page(all, in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &secretmanagerpb.ListSecretVersionsResponse{Versions: part, NextPageToken: next}, nil
}

// Set gives a version a state, as someone with gcloud would.
func (s *Server) Set(id string, number int, state secretmanagerpb.SecretVersion_State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets["projects/"+Project+"/secrets/"+id].versions[number-1].state = state
}

// Alias names a version.
func (s *Server) Alias(id, alias string, number int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets["projects/"+Project+"/secrets/"+id].aliases = map[string]int64{alias: number}
}

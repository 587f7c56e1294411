package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
)

// contended is how often a write is tried again that another one has overtaken.
const contended = 10

// stored is one version of a secret in KV version 2.
type stored struct {
	data    map[string]any // nil when the version is deleted
	number  int            // 0: there is none
	created time.Time
}

func (v stored) describe(current bool) secret.Version {
	return secret.Version{ID: strconv.Itoa(v.number), Created: v.created, Current: current}
}

func (s *Store) get2(ctx context.Context, m mount, key, version string) (secret.Value, secret.Version, error) {
	wanted := 0
	if version != "" {
		var err error
		if wanted, err = parseVersion(version); err != nil {
			return secret.Value{}, secret.Version{}, err
		}
	}
	found, current, err := s.pick(ctx, m, key, wanted)
	if err != nil {
		return secret.Value{}, secret.Version{}, err
	}
	value, _, err := valueOf(found.data)
	return value, found.describe(current), err
}

// pick reads version number wanted, 0 for the current one, and tells whether it is current. The newest is read in any
// case: nothing else that a policy for reading allows tells which it is.
func (s *Store) pick(ctx context.Context, m mount, key string, wanted int) (found stored, current bool, err error) {
	newest, err := s.read2(ctx, m, key, 0)
	switch {
	case notFound(err):
		return stored{}, false, absent(err, m, key)
	case err != nil:
		return stored{}, false, err
	case newest.data != nil && (wanted == 0 || wanted == newest.number):
		return newest, true, nil
	case wanted == 0 || wanted == newest.number:
		return stored{}, false, deleted(newest.number)
	}
	older, err := s.read2(ctx, m, key, wanted)
	switch {
	case err != nil && !notFound(err):
		return stored{}, false, err
	case older.data != nil:
		return older, false, nil
	case newest.data == nil:
		return stored{}, false, deleted(newest.number)
	}
	return stored{}, false, fmt.Errorf("version %d: %w", wanted, secret.ErrVersionGone)
}

// read2 reads a version, 0 for the current one. A version whose data is gone comes without data.
func (s *Store) read2(ctx context.Context, m mount, key string, number int) (stored, error) {
	r := request{method: http.MethodGet, path: m.path + "data/" + key}
	if number != 0 {
		r.query = url.Values{"version": {strconv.Itoa(number)}}
	}
	answer, err := s.ask(ctx, r)
	if e, ok := answered(err, http.StatusNotFound); ok && e.reply.Data["metadata"] != nil {
		answer, err = e.reply, nil
	}
	if err != nil {
		return stored{}, err
	}
	metadata, ok := answer.Data["metadata"].(map[string]any)
	if !ok {
		return stored{}, unavailable("vault's response is not one of KV version 2",
			"see `kv` of the store, and `vault secrets list -detailed`")
	}
	v, err := readMetadata(metadata)
	if err != nil {
		return stored{}, err
	}
	v.data, _ = answer.Data["data"].(map[string]any)
	return v, nil
}

// readMetadata reads a version's number and time.
func readMetadata(metadata map[string]any) (stored, error) {
	number, _ := metadata["version"].(json.Number)
	created, _ := metadata["created_time"].(string)
	n, errNumber := strconv.Atoi(number.String())
	at, errTime := time.Parse(time.RFC3339Nano, created)
	if err := errors.Join(errNumber, errTime); err != nil || n < 1 {
		return stored{}, unavailable("vault's response is not understood", notVault)
	}
	return stored{number: n, created: at.UTC()}, nil
}

// parseVersion reads a version strictly: one spelling per number, so that no other text names a version.
func parseVersion(version string) (int, error) {
	number, err := strconv.Atoi(version)
	if err != nil || number < 1 || strconv.Itoa(number) != version {
		return 0, fmt.Errorf("version %q: %w", version, secret.ErrVersionGone)
	}
	return number, nil
}

// put2 makes data the current version. Where the engine or the secret asks for check-and-set, the number is looked up.
func (s *Store) put2(ctx context.Context, m mount, key string, data any) (secret.Version, error) {
	v, err := s.write2(ctx, m, key, data, nil)
	if e, ok := answered(err, http.StatusBadRequest); !ok || !e.says("check-and-set parameter required") {
		return v, err
	}
	for range contended {
		current, err := s.read2(ctx, m, key, 0)
		if err != nil && !notFound(err) {
			return secret.Version{}, err
		}
		v, err = s.write2(ctx, m, key, data, &current.number)
		if err == nil || !errors.Is(explain(err), secret.ErrConflict) {
			return v, err
		}
	}
	return secret.Version{}, secret.ErrConflict
}

// putIf2 writes if the current version is expected. What counts is whether there is data: a deleted secret is none,
// although Vault goes on counting its versions.
func (s *Store) putIf2(ctx context.Context, m mount, key string, data any, expected string) (secret.Version, error) {
	current, err := s.read2(ctx, m, key, 0)
	if err != nil && !notFound(err) {
		return secret.Version{}, err
	}
	is := ""
	if current.data != nil {
		is = strconv.Itoa(current.number)
	}
	if is != expected {
		return secret.Version{}, secret.ErrConflict
	}
	return s.write2(ctx, m, key, data, &current.number)
}

// write2 writes a version; cas is the number that the current one must have, or nil.
func (s *Store) write2(ctx context.Context, m mount, key string, data any, cas *int) (secret.Version, error) {
	body := map[string]any{"data": data}
	if cas != nil {
		body["options"] = map[string]int{"cas": *cas}
	}
	r, err := s.ask(ctx, request{method: http.MethodPost, path: m.path + "data/" + key, body: body})
	if err != nil {
		return secret.Version{}, err
	}
	v, err := readMetadata(r.Data)
	if err != nil {
		return secret.Version{}, err
	}
	return v.describe(true), nil
}

// rollback2 writes the map of an old version again, as it is, whoever made it.
func (s *Store) rollback2(ctx context.Context, m mount, key, version string) (secret.Version, error) {
	wanted, err := parseVersion(version)
	if err != nil {
		return secret.Version{}, err
	}
	old, _, err := s.pick(ctx, m, key, wanted)
	if err != nil {
		return secret.Version{}, err
	}
	return s.put2(ctx, m, key, old.data)
}

// delete2 destroys the data of all versions.
func (s *Store) delete2(ctx context.Context, m mount, key string) error {
	all, err := s.versions(ctx, m, key)
	if err != nil {
		return err
	}
	numbers := make([]int, 0, len(all.versions))
	for _, v := range all.versions {
		numbers = append(numbers, v.number)
	}
	_, err = s.ask(ctx, request{
		method: http.MethodPost, path: m.path + "destroy/" + key,
		body: map[string][]int{"versions": numbers},
	})
	return err
}

// history2 lists the versions that can be read, newest first.
func (s *Store) history2(ctx context.Context, m mount, key string) ([]secret.Version, error) {
	all, err := s.versions(ctx, m, key)
	if err != nil {
		return nil, err
	}
	list := make([]secret.Version, 0, len(all.versions))
	for _, v := range all.versions {
		list = append(list, v.describe(v.number == all.current))
	}
	return list, nil
}

// numbered is what the metadata of a secret says of its versions.
type numbered struct {
	versions []stored // that can be read, newest first
	current  int
}

// versions reads a secret's metadata: ErrNotFound when its current version cannot be read.
func (s *Store) versions(ctx context.Context, m mount, key string) (numbered, error) {
	r, err := s.ask(ctx, request{method: http.MethodGet, path: m.path + "metadata/" + key})
	if err != nil {
		return numbered{}, err
	}
	current, _ := r.Data["current_version"].(json.Number)
	number, err := strconv.Atoi(current.String())
	byNumber, ok := r.Data["versions"].(map[string]any)
	if err != nil || !ok {
		return numbered{}, unavailable("vault's response is not understood", notVault)
	}
	all := numbered{current: number}
	for text, one := range byNumber {
		metadata, _ := one.(map[string]any)
		if metadata == nil || gone(metadata) {
			continue
		}
		v, err := readMetadata(map[string]any{"version": json.Number(text), "created_time": metadata["created_time"]})
		if err != nil {
			return numbered{}, err
		}
		all.versions = append(all.versions, v)
	}
	slices.SortFunc(all.versions, func(a, b stored) int { return b.number - a.number })
	if len(all.versions) == 0 || all.versions[0].number != number {
		return numbered{}, deleted(number)
	}
	return all, nil
}

// gone tells whether a version's data is deleted or destroyed. A deletion may lie in the future.
func gone(metadata map[string]any) bool {
	if destroyed, _ := metadata["destroyed"].(bool); destroyed {
		return true
	}
	text, _ := metadata["deletion_time"].(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	return err == nil && at.Before(time.Now())
}

func deleted(number int) error {
	return fault.WithHint(secret.ErrNotFound,
		fmt.Sprintf("version %d, the current one, is deleted: `vault kv undelete -versions=%d` if it was not destroyed",
			number, number))
}

// absent explains a 404. It helps a person who has taken the path of the HTTP API for the secret's.
func absent(err error, m mount, key string) error {
	for _, part := range []string{"data/", "metadata/"} {
		if rest, ok := strings.CutPrefix(key, part); ok {
			return fault.WithHint(secret.ErrNotFound,
				fmt.Sprintf("leave out %q: %q is the path as the vault command takes it", part, m.path+rest))
		}
	}
	return explain(err)
}

package awssm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"sallyport/internal/guard"
	"sallyport/internal/secret"
)

const (
	batchSize  = 20 // BatchGetSecretValue takes no more
	batchCalls = 4  // at once

	reading = "reading secrets from awssm"
)

// GetBatch implements secret.Batcher: current versions by twenties of a region, others one by one. Where
// BatchGetSecretValue is denied or not known, all are read one by one. Once the store is found to be unavailable, the
// rest is not asked for.
func (s *Store) GetBatch(ctx context.Context, keys []secret.Key) []secret.Result {
	b := &batch{store: s, keys: keys, results: make([]secret.Result, len(keys)), places: make(map[secret.Key][]int)}
	many := make(map[string][]secret.Key) // by region
	var single []secret.Key
	for i, key := range keys {
		if b.places[key] = append(b.places[key], i); len(b.places[key]) > 1 {
			continue
		}
		if region := regionOf(key.Path); key.Version == "" && checkName(key.Path) == nil {
			many[region] = append(many[region], key)
		} else {
			single = append(single, key)
		}
	}
	var group errgroup.Group
	group.SetLimit(batchCalls)
	for region, keys := range many {
		for chunk := range slices.Chunk(keys, batchSize) {
			group.Go(guard.Func(reading, func() error { b.readMany(ctx, region, chunk); return nil }))
		}
	}
	for _, key := range single {
		group.Go(guard.Func(reading, func() error { b.readOne(ctx, key); return nil }))
	}
	if broken := group.Wait(); broken != nil { // a panic: nothing says how far it had come
		for i, key := range keys {
			b.results[i] = secret.Result{Err: b.store.failed(ctx, "reading", key.Path,
				fmt.Errorf("%w: %w", secret.ErrUnavailable, broken))}
		}
	}
	return b.results
}

// batch is one call of GetBatch.
type batch struct {
	store   *Store
	keys    []secret.Key
	results []secret.Result
	places  map[secret.Key][]int // where a key's result goes; read only once the calls begin

	mu    sync.Mutex
	down  error // the store, found unavailable
	alone bool  // BatchGetSecretValue is not available
}

func (b *batch) state() (down error, alone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down, b.alone
}

func (b *batch) learn(down error, alone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down, b.alone = cmp.Or(b.down, down), b.alone || alone
}

func (b *batch) readOne(ctx context.Context, key secret.Key) {
	if down, _ := b.state(); down != nil {
		b.fail(ctx, key, down)
		return
	}
	value, v, err := b.store.Get(ctx, key.Path, key.Version)
	if errors.Is(err, secret.ErrUnavailable) {
		b.learn(errors.Unwrap(err), false)
	}
	b.put(key, secret.Result{Value: value, Version: v, Err: err})
}

// put gives every place of key its result; each has a value of its own.
func (b *batch) put(key secret.Key, r secret.Result) {
	for _, i := range b.places[key] {
		b.results[i] = secret.Result{Value: secret.NewValue(r.Value.Reveal()), Version: r.Version, Err: r.Err}
	}
}

func (b *batch) fail(ctx context.Context, key secret.Key, err error) {
	b.put(key, secret.Result{Err: b.store.failed(ctx, "reading", key.Path, err)})
}

func (b *batch) readMany(ctx context.Context, region string, chunk []secret.Key) {
	down, alone := b.state()
	switch {
	case down != nil:
		for _, key := range chunk {
			b.fail(ctx, key, down)
		}
		return
	case alone || len(chunk) == 1:
		b.readEach(ctx, chunk)
		return
	}
	rest, err := b.ask(ctx, region, chunk)
	var answer smithy.APIError
	reason := b.store.reason(ctx, err)
	switch {
	case err == nil:
	case isCode(err, "AccessDeniedException", "AccessDenied", "UnknownOperationException"), statusOf(err) == 404,
		statusOf(err) == 501:
		b.learn(nil, true)
	// one of these is at fault
	case errors.As(err, &answer) && !isServers(err, answer) && !errors.Is(reason, secret.ErrDenied):
	default:
		b.learn(reason, false)
		for _, key := range rest {
			b.fail(ctx, key, reason)
		}
		return
	}
	b.readEach(ctx, rest)
}

func (b *batch) readEach(ctx context.Context, keys []secret.Key) {
	for _, key := range keys {
		b.readOne(ctx, key)
	}
}

// ask reads chunk and returns the keys that the answer does not speak of.
func (b *batch) ask(ctx context.Context, region string, chunk []secret.Key) (rest []secret.Key, err error) {
	rest = slices.Clone(chunk)
	in := &secretsmanager.BatchGetSecretValueInput{}
	for _, key := range chunk {
		in.SecretIdList = append(in.SecretIdList, key.Path)
	}
	for {
		var out *secretsmanager.BatchGetSecretValueOutput
		err := b.store.call(ctx, region, func(ctx context.Context, c client) (err error) {
			out, err = c.BatchGetSecretValue(ctx, in, c.inRegion)
			return err
		})
		if err != nil {
			return rest, err
		}
		rest = slices.DeleteFunc(rest, func(key secret.Key) bool { return b.take(ctx, key, out) })
		if aws.ToString(out.NextToken) == "" {
			return rest, nil
		}
		in.NextToken = out.NextToken
	}
}

// take looks for key in the answer.
func (b *batch) take(ctx context.Context, key secret.Key, out *secretsmanager.BatchGetSecretValueOutput) bool {
	for i := range out.SecretValues {
		v := &out.SecretValues[i]
		if !sameSecret(key.Path, aws.ToString(v.Name), aws.ToString(v.ARN)) {
			continue
		}
		value, version, err := read(held{
			binary: v.SecretBinary, text: v.SecretString, id: v.VersionId,
			created: v.CreatedDate, stages: v.VersionStages,
		})
		if err != nil {
			b.fail(ctx, key, err)
		} else {
			b.put(key, secret.Result{Value: value, Version: version})
		}
		return true
	}
	for i := range out.Errors {
		if e := &out.Errors[i]; sameSecret(key.Path, aws.ToString(e.SecretId), aws.ToString(e.SecretId)) {
			b.fail(ctx, key, partial(e))
			return true
		}
	}
	return false
}

// partial is one secret's error in an answer that is otherwise good, as GetSecretValue would have given it.
func partial(e *types.APIErrorType) error {
	answer := &smithy.GenericAPIError{Code: aws.ToString(e.ErrorCode), Message: aws.ToString(e.Message)}
	err := &smithy.OperationError{ServiceID: secretsmanager.ServiceID, OperationName: "GetSecretValue", Err: answer}
	if isDeleted(err) {
		return secret.ErrNotFound
	}
	return err
}

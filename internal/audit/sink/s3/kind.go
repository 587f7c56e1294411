// Package s3 is the sink that writes objects to a bucket, locked so that nobody can change or delete them: S3 of AWS
// and what is compatible with it. It is meant for checkpoints, and takes records too.
package s3

import (
	"context"
	_ "embed" // the page
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"sallyport/internal/audit/sink"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind s3.
func Kind() sink.Kind {
	return sink.Kind{
		Name: "s3", Summary: "A bucket of S3, or of what is compatible with it, with object lock.", Page: page,
		Settings: func() sink.Settings { return new(Settings) },
	}
}

// Settings are the keys of a sink of kind s3.
type Settings struct {
	Bucket    string     `yaml:"bucket" needed:"write bucket: NAME" eg:"sallyport-audit" doc:"The bucket, which has to be there."`
	Region    string     `yaml:"region" default:"us-east-1" eg:"eu-central-1" doc:"Its region."`
	Endpoint  *url.URL   `yaml:"endpoint" eg:"https://minio.internal:9000" doc:"The address, where it is not AWS's own of the region. Buckets are named in the path."`
	Prefix    string     `yaml:"prefix" eg:"gate1/" doc:"What the names of objects begin with."`
	AccessKey secret.Ref `yaml:"access_key" eg:"ref+builtin://s3#access_key" doc:"The access key's id, by reference. Absent: as the AWS SDK finds it (a role of the machine, of the pod, the environment)."`
	SecretKey secret.Ref `yaml:"secret_key" eg:"ref+builtin://s3#secret_key" doc:"The access key's secret, by reference."`
	Lock      *Lock      `yaml:"lock" doc:"Object lock. Absent: objects have what the bucket gives them by default."`
	CAFile    string     `yaml:"ca_file" path:"file" eg:"./minio-ca.pem" doc:"PEM certificates to trust instead of the system's."`
}

// Lock is how objects are locked.
type Lock struct {
	Mode  string        `yaml:"mode" default:"compliance" enum:"compliance governance" doc:"compliance: nobody can shorten it, not even the account's owner; governance: who has a permission for that can."`
	For   time.Duration `yaml:"for" needed:"write for: 400d" eg:"400d" min:"24h" max:"36600d" doc:"How long from the moment on at which an object is written."`
	Check bool          `yaml:"check" default:"true" doc:"Ask after each object whether it is locked: some stores take the wish and do nothing."`
}

// bucketName is what S3 takes, with the dots of older names.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// Check implements sink.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Plain("endpoint", s.Endpoint)
	r.Certificates("ca_file", s.CAFile)
	if s.Bucket != "" && !bucketName.MatchString(s.Bucket) {
		r.Fail("bucket", "is not the name of a bucket", "write its name alone, without s3:// and without a path")
	}
	if strings.HasPrefix(s.Prefix, "/") || strings.ContainsFunc(s.Prefix, func(c rune) bool { return !plain(c) }) {
		r.Fail("prefix", "is no prefix for names", "use letters, digits, and - _ . / between them, such as gate1/")
	}
	if s.AccessKey.IsZero() != s.SecretKey.IsZero() {
		r.Fail("", "has one of access_key and secret_key alone", "write both, or none")
	}
}

// plain are the characters that stand in a URL's path as they are, in every implementation.
func plain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./", c)
}

// Secrets implements sink.Settings.
func (s *Settings) Secrets() []secret.Ref {
	if s.AccessKey.IsZero() || s.SecretKey.IsZero() {
		return nil
	}
	return []secret.Ref{s.AccessKey, s.SecretKey}
}

// Open implements sink.Settings.
func (s *Settings) Open(ctx context.Context, on sink.Host) (sink.Sink, error) {
	trust, err := sink.TLS(s.CAFile, "", "")
	if err != nil {
		return nil, err
	}
	b := &bucket{settings: *s, host: on, client: sink.NewClient(trust), keys: keysOf(s, on)}
	b.base = "https://s3." + s.Region + ".amazonaws.com"
	if s.Endpoint != nil {
		b.base = strings.TrimSuffix(s.Endpoint.String(), "/")
	}
	if b.keys == nil {
		chain, err := config.LoadDefaultConfig(ctx, config.WithRegion(s.Region))
		if err != nil {
			return nil, fmt.Errorf("looking for credentials as the AWS SDK does: %w", err)
		}
		b.keys = chain.Credentials
	}
	return b, nil
}

// keysOf reads the keys by their references, for each batch.
func keysOf(s *Settings, on sink.Host) aws.CredentialsProvider {
	if len(s.Secrets()) == 0 {
		return nil
	}
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		id, err := on.Secret(ctx, s.AccessKey)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("reading access_key: %w", err)
		}
		key, err := on.Secret(ctx, s.SecretKey)
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("reading secret_key: %w", err)
		}
		return aws.Credentials{
			AccessKeyID:     strings.TrimSpace(string(id.Reveal())),
			SecretAccessKey: strings.TrimSpace(string(key.Reveal())),
		}, nil
	})
}

package awssm

import (
	"context"
	_ "embed" // the page
	"fmt"
	"strings"

	"sallyport/internal/localfile"
	"sallyport/internal/secret"
)

//go:embed kind.md
var page string

// Kind is the kind awssm.
func Kind() secret.Kind {
	return secret.Kind{
		Name: "awssm", Summary: "AWS Secrets Manager.", Page: page,
		Settings: func() secret.Settings { return new(Settings) },
		Moving:   isStage,
		ByKind:   true,
		Withhold: []string{
			"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		},
	}
}

// isStage tells a staging label, which moves, from a version's id, which has 32 to 64 characters.
func isStage(version string) bool { return len(version) < 32 || len(version) > 64 }

// Settings are the keys of a store of kind awssm.
type Settings struct {
	Region     string      `yaml:"region" eg:"eu-central-1" doc:"The region. Default: as the AWS SDK finds it."`
	Endpoint   string      `yaml:"endpoint" eg:"https://vpce-1234.secretsmanager.eu-central-1.vpce.amazonaws.com" meant:"address" doc:"Another address of the service, as a URL."`
	Profile    string      `yaml:"profile" eg:"n8n" doc:"A profile of the shared AWS configuration."`
	AssumeRole *RoleToTake `yaml:"assume_role" doc:"A role to assume first."`
	CAFile     string      `yaml:"ca_file" path:"file" eg:"./ca.pem" backend:"same" doc:"PEM certificates to trust instead of the system's."`
}

// RoleToTake is a role that is taken on with the credentials found.
type RoleToTake struct {
	ARN        string `yaml:"arn" eg:"arn:aws:iam::123456789012:role/sallyport" doc:"The role."`
	ExternalID string `yaml:"external_id" eg:"n8n" doc:"The external id that the role's trust policy asks for."`
	Session    string `yaml:"session" default:"sallyport" doc:"The session's name in CloudTrail."`
	Endpoint   string `yaml:"endpoint" eg:"https://sts.eu-central-1.amazonaws.com" doc:"The address of STS, where it is not the region's own."`
}

// Check implements secret.Settings.
func (s *Settings) Check(r secret.Report) {
	r.Certificates("ca_file", s.CAFile)
	r.URL("endpoint", s.Endpoint)
	if s.AssumeRole == nil {
		return
	}
	if !strings.HasPrefix(s.AssumeRole.ARN, "arn:") {
		r.Fail("assume_role", "has no role", "write arn: arn:aws:iam::ACCOUNT:role/NAME")
	}
	r.URL("assume_role.endpoint", s.AssumeRole.Endpoint)
}

// Files implements secret.Settings.
func (s *Settings) Files() []string { return []string{s.CAFile} }

// Variables implements secret.Settings.
func (*Settings) Variables([]string) []string { return nil }

// Open implements secret.Settings.
func (s *Settings) Open(context.Context, secret.Host) (secret.Store, error) {
	pool, err := localfile.CertPool(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading ca_file: %w", err)
	}
	o := Options{Region: s.Region, Endpoint: s.Endpoint, Profile: s.Profile, CAPool: pool}
	if role := s.AssumeRole; role != nil {
		o.AssumeRole = AssumeRole{
			ARN: role.ARN, ExternalID: role.ExternalID, Session: role.Session,
			Endpoint: role.Endpoint,
		}
	}
	return New(o)
}

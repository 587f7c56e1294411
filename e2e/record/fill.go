package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"sallyport/e2e/lab"
)

//go:embed plant.cjs
var plant []byte

// filling is a recording that is being made.
type filling struct {
	*lab.N8N
	recipe  Recipe
	scratch string // beside n8n's folder: plant.cjs and what it is told and tells
	entered []Credential
	made    Manifest
}

// fill runs n8n in folder, puts everything in, and stops it.
func fill(ctx context.Context, r Recipe, install, folder string, database []string) (Manifest, error) {
	scratch, err := os.MkdirTemp("", "n8n-plant-")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(scratch)
	hook := filepath.Join(scratch, "plant.cjs")
	if err := os.WriteFile(hook, plant, 0o600); err != nil {
		return Manifest{}, err
	}
	settings := append([]string{
		"EXTERNAL_HOOK_FILES=" + hook, "RECORD_GO=" + filepath.Join(scratch, "go"), "RECORD_OUT=" + filepath.Join(scratch, "told.json"),
		"N8N_ENCRYPTION_KEY=" + r.Master,
		"DB_TABLE_PREFIX=" + r.Prefix,
		"N8N_EXPRESSION_ENGINE=legacy", // the other needs a native module in versions before 2.41
		"CREDENTIALS_OVERWRITE_ENDPOINT=overwrites",
		"CREDENTIALS_OVERWRITE_PERSISTENCE=true",
	}, database...)
	n, err := lab.Setup{Install: install, Folder: folder, Settings: settings}.Start(ctx)
	if err != nil {
		return Manifest{}, err
	}
	f := &filling{N8N: n, recipe: r, scratch: scratch}
	defer func() { f.Stop() }() // the latest process
	f.made = Manifest{Name: r.Name, N8N: r.Version, Dialect: r.Dialect, Prefix: r.Prefix, Schema: r.Schema, Master: r.Master, Rotated: r.Rotated}
	for _, step := range []func(context.Context) error{f.beforeRotation, f.rotate, f.afterRotation, f.mfa, f.tell} {
		if err := step(ctx); err != nil {
			return Manifest{}, fmt.Errorf("%w\n%s", err, n.Log()[max(0, len(n.Log())-3000):])
		}
	}
	return f.made, f.compare()
}

func (f *filling) beforeRotation(ctx context.Context) error { return f.enter(ctx, credentials()[:5]) }

// rotate turns n8n's own rotation on, and leaves values under two data keys.
func (f *filling) rotate(ctx context.Context) error {
	if !f.recipe.Rotated {
		return nil
	}
	if err := f.Restart(ctx, "N8N_ENV_FEAT_ENCRYPTION_KEY_ROTATION=true", "N8N_ENV_FEAT_OAUTH2_JWE=true"); err != nil {
		return err
	}
	if err := f.enter(ctx, credentials()[5:8]); err != nil {
		return err
	}
	if err := f.REST(ctx, http.MethodPost, "/rest/encryption/keys", map[string]string{"type": "data_encryption"}, nil); err != nil {
		return err
	}
	return f.Restart(ctx) // n8n goes on with the key before for some seconds
}

func (f *filling) afterRotation(ctx context.Context) error {
	if err := f.enter(ctx, credentials()[len(f.entered):]); err != nil {
		return err
	}
	overwrite := map[string]any{"slackOAuth2Api": map[string]string{"clientId": "recorded-client", "clientSecret": "recorded-overwrite-ğ-0123456789"}}
	return f.REST(ctx, http.MethodPost, "/overwrites", overwrite, nil)
}

func (f *filling) enter(ctx context.Context, credentials []Credential) error {
	for _, c := range credentials {
		made, err := f.NewCredential(ctx, c.Name, c.Type, c.Data)
		if err != nil {
			return err
		}
		c.ID = made.ID
		f.entered = append(f.entered, c)
	}
	return nil
}

// mfa comes last: the owner stays signed in, and nobody else can sign in without a code.
func (f *filling) mfa(ctx context.Context) error {
	var made struct {
		Secret        string   `json:"secret"`
		RecoveryCodes []string `json:"recoveryCodes"`
	}
	if err := f.REST(ctx, http.MethodGet, "/rest/mfa/qr", nil, &made); err != nil {
		return err
	}
	code, err := totp(made.Secret, time.Now())
	if err != nil {
		return err
	}
	f.made.Owner = Owner{Email: lab.OwnerEmail, Password: lab.OwnerPassword, MFASecret: made.Secret, RecoveryCodes: made.RecoveryCodes}
	return f.REST(ctx, http.MethodPost, "/rest/mfa/enable", map[string]string{"mfaCode": code}, nil)
}

// tell lets plant.cjs do its part. The execution that waits is made here: n8n takes it for crashed when it is started again with
// the event log of the run that has ended.
func (f *filling) tell(ctx context.Context) (err error) {
	f.made.Waiting, err = f.NewWaiting(ctx, "Recorded wait", map[string]string{"order": "A-1", "müşteri": "Ğ"})
	if err != nil {
		return err
	}
	part := filepath.Join(f.scratch, "part")
	if err := errors.Join(os.WriteFile(part, []byte(f.made.Waiting), 0o600), os.Rename(part, filepath.Join(f.scratch, "go"))); err != nil {
		return err
	}
	var text []byte
	there := func() bool { text, err = os.ReadFile(filepath.Join(f.scratch, "told.json")); return err == nil }
	if err := f.Await(ctx, time.Minute, there); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &f.made.Told); err != nil {
		return err
	}
	if f.made.Told.Error != "" {
		return errors.New("inside n8n: " + f.made.Told.Error)
	}
	return nil
}

// compare holds what n8n decrypted against what was entered.
func (f *filling) compare() error {
	told := f.made.Told.Credentials
	if len(told) != len(f.entered) {
		return fmt.Errorf("%d credentials entered, %d found", len(f.entered), len(told))
	}
	for _, want := range f.entered {
		i := slices.IndexFunc(told, func(c Credential) bool { return c.ID == want.ID })
		if i < 0 || !holds(told[i].Data, want.Data) {
			return fmt.Errorf("credential %q is not what was entered", want.Name)
		}
	}
	var codes []string
	secret := ""
	for _, v := range f.made.Told.Values {
		switch v.Column {
		case "mfaSecret":
			secret = v.Plain
		case "mfaRecoveryCodes":
			codes = append(codes, v.Plain)
		}
	}
	if secret != f.made.Owner.MFASecret || !slices.Equal(codes, f.made.Owner.RecoveryCodes) {
		return errors.New("the MFA secret or the recovery codes are not what n8n showed: " + strings.Join(codes, " "))
	}
	return nil
}

// holds tells whether got has all of want: n8n adds defaults of its own.
func holds(got, want map[string]any) bool {
	both := maps.Clone(got)
	maps.Copy(both, want)
	return reflect.DeepEqual(both, got)
}

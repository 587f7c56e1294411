package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"sallyport/e2e/lab"
)

// filling is a recording that is being made.
type filling struct {
	*lab.N8N
	recipe  Recipe
	hook    hook
	entered []Credential
	made    Manifest
}

// fill runs n8n in folder, puts everything in, and stops it.
func fill(ctx context.Context, r Recipe, install, folder string, database []string) (Manifest, error) {
	h, err := newHook()
	if err != nil {
		return Manifest{}, err
	}
	defer h.remove()
	settings := slices.Concat(r.settings(), h.settings(), database, []string{
		"CREDENTIALS_OVERWRITE_ENDPOINT=overwrites", "CREDENTIALS_OVERWRITE_PERSISTENCE=true",
	})
	n, err := lab.Setup{Install: install, Folder: folder, Settings: settings}.Start(ctx)
	if err != nil {
		return Manifest{}, err
	}
	f := &filling{N8N: n, recipe: r, hook: h}
	defer func() { f.Stop() }() // the latest process
	f.made = Manifest{
		Name: r.Name, N8N: r.Version, Dialect: r.Dialect, Prefix: r.Prefix, Schema: r.Schema,
		Master: r.Master, Rotated: r.Rotated,
	}
	for _, step := range []func(context.Context) error{f.beforeRotation, f.rotate, f.afterRotation, f.mfa, f.tell} {
		if err := step(ctx); err != nil {
			return Manifest{}, fmt.Errorf("%w\n%s", err, n.Log()[max(0, len(n.Log())-3000):])
		}
	}
	return f.made, f.compare()
}

func (f *filling) beforeRotation(ctx context.Context) error { return f.enter(ctx, lab.Entries()[:5]) }

// rotation is what turns n8n's own rotation on. Before 2.40.3 n8n reads nothing of what it wrote so once it is off
// again.
func rotation() []string {
	return []string{"N8N_ENV_FEAT_ENCRYPTION_KEY_ROTATION=true", "N8N_ENV_FEAT_OAUTH2_JWE=true"}
}

// rotate turns n8n's own rotation on, and leaves values under two data keys.
func (f *filling) rotate(ctx context.Context) error {
	if !f.recipe.Rotated {
		return nil
	}
	if err := f.Restart(ctx, rotation()...); err != nil {
		return err
	}
	if err := f.enter(ctx, lab.Entries()[5:8]); err != nil {
		return err
	}
	if err := f.REST(ctx, http.MethodPost, "/rest/encryption/keys",
		map[string]string{"type": "data_encryption"}, nil); err != nil {
		return err
	}
	return f.Restart(ctx) // n8n goes on with the key before for some seconds
}

func (f *filling) afterRotation(ctx context.Context) error {
	if err := f.enter(ctx, lab.Entries()[len(f.entered):]); err != nil {
		return err
	}
	overwrite := map[string]any{"slackOAuth2Api": map[string]string{
		"clientId":     "recorded-client",
		"clientSecret": "recorded-overwrite-ğ-0123456789",
	}}
	return f.REST(ctx, http.MethodPost, "/overwrites", overwrite, nil)
}

func (f *filling) enter(ctx context.Context, entries []lab.Entry) error {
	made, err := f.Enter(ctx, entries)
	for i, m := range made {
		f.entered = append(f.entered, Credential{ID: m.ID, Name: m.Name, Type: entries[i].Kind, Data: entries[i].Data})
	}
	return err
}

// mfa comes last: the owner stays signed in, and nobody else can sign in without a code.
func (f *filling) mfa(ctx context.Context) error {
	made, err := f.EnableMFA(ctx)
	f.made.Owner = Owner{
		Email: lab.OwnerEmail, Password: lab.OwnerPassword, MFASecret: made.Secret,
		RecoveryCodes: made.RecoveryCodes,
	}
	return err
}

// tell lets plant.cjs do its part. The execution that waits is made here: n8n takes it for crashed when it is started
// again with the event log of the run that has ended.
func (f *filling) tell(ctx context.Context) (err error) {
	f.made.Waiting, err = f.NewWaiting(ctx, "Recorded wait", map[string]string{"order": "A-1", "müşteri": "Ğ"})
	if err != nil {
		return err
	}
	f.made.Told, err = f.hook.ask(ctx, f.N8N, f.made.Waiting)
	return err
}

// compare holds what n8n decrypted against what was entered.
func (f *filling) compare() error {
	told := f.made.Credentials
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
	for _, v := range f.made.Values {
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

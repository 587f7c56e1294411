package awssm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"sallyport/internal/fault"
	"sallyport/internal/secret"
	"sallyport/internal/secret/awssm"
	"sallyport/internal/testkit/awsfake"
)

const canary = "canary-5c1b7e02d9"

func get(t *testing.T, store *awssm.Store, path, version string) error {
	t.Helper()
	_, _, err := store.Get(t.Context(), path, version)
	return err
}

func wantErr(t *testing.T, err, want error, hint string) {
	t.Helper()
	switch {
	case !errors.Is(err, want):
		t.Errorf("got %v, want %v", err, want)
	case !strings.Contains(fault.HintOf(err), hint):
		t.Errorf("hint of %q: %q does not say %q", err, fault.HintOf(err), hint)
	case strings.Contains(err.Error()+fault.HintOf(err), canary):
		t.Errorf("%q (%q) quotes what the other side wrote", err, fault.HintOf(err))
	}
}

func many(prefix string, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%s%04d", prefix, i))
	}
	return names
}

func TestWhatTheServiceAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status        int
		code, message string
		want          error
		hint          string
		calls         int
	}{
		"denied":           {400, "AccessDeniedException", canary, secret.ErrDenied, "secretsmanager:GetSecretValue", 1},
		"the key's policy": {400, "AccessDeniedException", "Access to KMS is not allowed " + canary, secret.ErrDenied, "kms:Decrypt", 1},
		"the key":          {400, "DecryptionFailure", canary, secret.ErrDenied, "kms:Decrypt", 1},
		"expired":          {400, "ExpiredTokenException", canary, secret.ErrDenied, "sign in again", 2},
		"unknown keys":     {400, "UnrecognizedClientException", canary, secret.ErrDenied, "access key", 1},
		"the clock":        {400, "InvalidSignatureException", canary, secret.ErrDenied, "clock", 1},
		"a bare 403":       {403, "SomethingException", canary, secret.ErrDenied, "secretsmanager:GetSecretValue", 1},
		"throttled":        {400, "ThrottlingException", "Rate exceeded " + canary, secret.ErrUnavailable, "throttles", 4},
		"500":              {500, "InternalServiceError", canary, secret.ErrUnavailable, "tried again", 4},
		"503":              {503, "ServiceUnavailable", canary, secret.ErrUnavailable, "tried again", 4},
		"500 and junk":     {500, canary + "\n\x1b[2J", canary, secret.ErrUnavailable, "tried again", 4},
		"another server":   {404, canary, canary, secret.ErrUnavailable, "endpoint", 1},
		"a code with junk": {400, canary + "\n\x1b[2J", canary, secret.ErrUnavailable, "endpoint", 1},
		"not there":        {400, "ResourceNotFoundException", canary, secret.ErrNotFound, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := awsfake.New(t)
			fake.Answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				awsfake.Fail(w, c.status, c.code, c.message)
				return true
			}
			err := get(t, open(t, options(fake)), "prod/stripe", "")
			wantErr(t, err, c.want, c.hint)
			if !strings.HasPrefix(err.Error(), `reading secret "prod/stripe" in awssm: `) {
				t.Errorf("%q does not begin with what was being done", err)
			}
			if n := len(fake.Calls()); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
		})
	}
}

func TestEveryActionIsNamedWhenItIsDenied(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	v := put(t, store, "prod/x", "value")
	ctx, value := t.Context(), secret.NewValue([]byte("new"))
	calls := map[string]func() error{
		"GetSecretValue": func() error { return get(t, store, "prod/x", "") },
		"PutSecretValue": func() error { _, err := store.Put(ctx, "prod/x", value); return err },
		"CreateSecret":   func() error { _, err := store.Put(ctx, "prod/new", value); return err },
		"UpdateSecretVersionStage": func() error {
			_, err := store.PutIf(ctx, "prod/x", value, v.ID)
			return err
		},
		"DescribeSecret":       func() error { return store.Delete(ctx, "prod/x") },
		"DeleteSecret":         func() error { return store.Delete(ctx, "prod/x") },
		"ListSecrets":          func() error { _, err := store.List(ctx, ""); return err },
		"ListSecretVersionIds": func() error { _, err := store.History(ctx, "prod/x"); return err },
	}
	for action, call := range calls {
		fake.Allowed = func(a, _ string) bool { return a != action }
		wantErr(t, call(), secret.ErrDenied, "secretsmanager:"+action+" ")
	}
	// A version is a version also for those who may not list them.
	fake.Allowed = func(a, _ string) bool { return a == "PutSecretValue" }
	if v := put(t, store, "prod/x", "again"); v.Created.IsZero() || !v.Current {
		t.Errorf("got %+v", v)
	}
	fake.Allowed = func(a, _ string) bool { return a == "GetSecretValue" }
	wantErr(t, get(t, store, "prod/x", "AWSPENDING"), secret.ErrVersionGone, "")
	wantErr(t, get(t, store, "prod/y", "AWSPENDING"), secret.ErrNotFound, "")
}

func TestThrottlingThatPasses(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	put(t, store, "a", "value")
	left := 2
	fake.Answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		if left == 0 {
			return false
		}
		left--
		awsfake.Fail(w, 400, "ThrottlingException", "Rate exceeded")
		return true
	}
	want(t, store, "a", "", "value")
}

func TestHalfAnswers(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter){
		"nothing":      func(w http.ResponseWriter) {},
		"an empty one": func(w http.ResponseWriter) { _, _ = w.Write([]byte("{}")) },
		"no version":   func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"SecretString":"` + canary + `"}`)) },
		"no value": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"VersionId":"00000000-0000-4000-8000-000000000000"}`))
		},
		"not JSON":   func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>" + canary)) },
		"half of it": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"SecretString":"` + canary)) },
		"cut off": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "999")
			_, _ = w.Write([]byte(`{"SecretString":"x"`))
		},
		"a string's due": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(`{"SecretString":{"a":1},"VersionId":7}`))
		},
		"an error page": func(w http.ResponseWriter) { w.WriteHeader(502); _, _ = w.Write([]byte("<html>" + canary)) },
		"hung up on":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := awsfake.New(t)
			fake.Answer = func(w http.ResponseWriter, _ *http.Request, _ string) bool { answer(w); return true }
			err := get(t, open(t, options(fake)), "a", "")
			wantErr(t, err, secret.ErrUnavailable, "")
			if fault.ExitOf(err) != fault.ExitStore {
				t.Errorf("exit code %d, want %d", fault.ExitOf(err), fault.ExitStore)
			}
		})
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		fake := awsfake.New(t)
		fake.Answer = func(w http.ResponseWriter, r *http.Request, _ string) bool {
			http.Redirect(w, r, other.URL+"/"+canary, status)
			return true
		}
		store := open(t, options(fake))
		wantErr(t, get(t, store, "a", ""), secret.ErrUnavailable, "endpoint")
		_, err := store.Put(t.Context(), "a", secret.NewValue([]byte("v")))
		wantErr(t, err, secret.ErrUnavailable, "endpoint")
	}
}

func TestSlow(t *testing.T) {
	fake := awsfake.New(t)
	fake.Answer = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		<-r.Context().Done()
		return true
	}
	o := options(fake)
	o.Timeout = 50 * time.Millisecond
	store := open(t, o)
	wantErr(t, get(t, store, "a", ""), secret.ErrUnavailable, "network")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := store.Get(ctx, "a", "")
	wantErr(t, err, secret.ErrUnavailable, "")
}

func TestDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := options(awsfake.New(t))
	o.Endpoint = "http://" + listener.Addr().String()
	_ = listener.Close()
	err = get(t, open(t, o), "a", "")
	wantErr(t, err, secret.ErrUnavailable, "endpoint")
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%q does not say why", err)
	}
}

func TestAssumeRole(t *testing.T) {
	fake := awsfake.New(t)
	const arn = "arn:aws:iam::123456789012:role/sallyport"
	fake.Roles = map[string]awsfake.Role{arn: {ExternalID: "corp-42", Keys: aws.Credentials{
		AccessKeyID: "ASIAROLEROLEROLEROLE", SecretAccessKey: "roleroleroleroleroleroleroleroleroleroleq",
		SessionToken: "session-" + canary,
	}}}
	o := options(fake)
	o.AssumeRole = awssm.AssumeRole{ARN: arn, ExternalID: "corp-42", Session: "node-1", Endpoint: fake.URL}
	store := open(t, o)
	put(t, store, "a", "value")
	want(t, store, "a", "", "value")
	if n := fake.Count("AssumeRole"); n != 1 {
		t.Errorf("the role was assumed %d times, want once", n)
	}
	form := fake.Calls()[0].Form
	for key, value := range map[string]string{
		"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": arn, "RoleSessionName": "node-1", "ExternalId": "corp-42", "DurationSeconds": "900",
	} {
		if got := form[key]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: got %q, want %q", key, got, value)
		}
	}
	for _, c := range fake.Calls()[1:] {
		if c.Header.Get("X-Amz-Security-Token") != "session-"+canary || !strings.Contains(c.Header.Get("Authorization"),
			"ASIAROLEROLEROLEROLE/") {
			t.Errorf("%s was not signed as the role", c.Action)
		}
	}
	o.AssumeRole.ExternalID = "wrong"
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "sts:AssumeRole")
}

func TestSTSFailure(t *testing.T) {
	fake := awsfake.New(t)
	o := options(fake)
	o.AssumeRole = awssm.AssumeRole{ARN: "arn:aws:iam::123456789012:role/sallyport", Endpoint: fake.URL}
	fake.Answer = func(w http.ResponseWriter, _ *http.Request, action string) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return action == "AssumeRole"
	}
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrUnavailable, "")
	o.AssumeRole.Endpoint = "http://127.0.0.1:1"
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrUnavailable, "STS")
}

func TestNoCredentials(t *testing.T) {
	fake := awsfake.New(t)
	o := options(fake)
	o.Credentials = nil
	wantErr(t, get(t, open(t, o), "a", ""), secret.ErrDenied, "AWS_ACCESS_KEY_ID")
	o.Profile = "nobody"
	if err := get(t, open(t, o), "a", ""); !strings.Contains(fault.HintOf(err), "profile") {
		t.Errorf("%v: %q", err, fault.HintOf(err))
	}
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("%d calls without credentials", n)
	}
	o = options(fake)
	o.Region = ""
	if err := get(t, open(t, o), "a", ""); !strings.Contains(fault.HintOf(err), "AWS_REGION") {
		t.Errorf("%v: %q", err, fault.HintOf(err))
	}
}

func TestKeysReplacedUnderARunningProcess(t *testing.T) {
	fake := awsfake.New(t)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(keys aws.Credentials) {
		text := fmt.Sprintf("[corp]\naws_access_key_id = %s\naws_secret_access_key = %s\naws_session_token = %s\n",
			keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := aws.Credentials{AccessKeyID: "ASIAOLDOLDOLDOLDOLD1", SecretAccessKey: "oldoldoldold", SessionToken: "old"}
	fake.SetKeys(old)
	write(old)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	o := options(fake)
	o.Credentials, o.Profile = nil, "corp"
	store := open(t, o)
	put(t, store, "a", "value")

	expired := old
	expired.CanExpire, expired.Expires = true, time.Now().Add(-time.Hour)
	fake.SetKeys(expired)
	wantErr(t, get(t, store, "a", ""), secret.ErrDenied, "expired")

	fresh := aws.Credentials{AccessKeyID: "ASIANEWNEWNEWNEWNEW1", SecretAccessKey: "newnewnewnew", SessionToken: "new"}
	fake.SetKeys(fresh)
	fake.Roles = map[string]awsfake.Role{"old": {Keys: expired}} // the old ones are known, as expired ones
	write(fresh)
	want(t, store, "a", "", "value")
}

func TestNew(t *testing.T) {
	for name, o := range map[string]awssm.Options{
		"http":           {Endpoint: "http://secrets.example.com"},
		"no url":         {Endpoint: "secretsmanager"},
		"user":           {Endpoint: "https://user:password@example.com"},
		"sts over http":  {AssumeRole: awssm.AssumeRole{ARN: "arn:aws:iam::1:role/x", Endpoint: "http://sts.example.com"}},
		"no arn":         {AssumeRole: awssm.AssumeRole{ExternalID: "x"}},
		"not a role":     {AssumeRole: awssm.AssumeRole{ARN: "arn:aws:iam::1:user/x"}},
		"window":         {RecoveryDays: 3},
		"window and now": {RecoveryDays: 7, DeleteNow: true},
	} {
		if _, err := awssm.New(o); err == nil || strings.Contains(err.Error(), "password") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, endpoint := range []string{
		"", "https://vpce-1.secretsmanager.eu-central-1.vpce.amazonaws.com",
		"http://127.0.0.1:4566", "http://[::1]:1", "http://localhost:4566",
	} {
		if _, err := awssm.New(awssm.Options{Endpoint: endpoint}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

package awssm_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sallyport/internal/secret"
	"sallyport/internal/secret/awssm"
	"sallyport/internal/secret/storetest"
	"sallyport/internal/testkit/awsfake"
)

// TestMain keeps the tests from the machine's own AWS: no file, no variable, no metadata service, and a proxy that is
// not there for whatever would leave loopback all the same.
func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "",
	} {
		_ = os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

func options(fake *awsfake.Server) awssm.Options {
	keys := fake.Keys
	return awssm.Options{
		Region: awsfake.Region, Endpoint: fake.URL, RetryDelay: time.Millisecond,
		Credentials: credentials.NewStaticCredentialsProvider(keys.AccessKeyID, keys.SecretAccessKey,
			keys.SessionToken),
	}
}

func open(t *testing.T, o awssm.Options) *awssm.Store {
	t.Helper()
	store, err := awssm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func put(t *testing.T, store *awssm.Store, path, value string) secret.Version {
	t.Helper()
	v, err := store.Put(t.Context(), path, secret.NewValue([]byte(value)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func want(t *testing.T, store secret.Store, path, version, value string) secret.Version {
	t.Helper()
	got, v, err := store.Get(t.Context(), path, version)
	if err != nil || string(got.Reveal()) != value {
		t.Fatalf("getting %q version %q: got %q, %v; want %q", path, version, got.Reveal(), err, value)
	}
	return v
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) secret.Store {
		fake := awsfake.New(t)
		fake.AnySize = true
		o := options(fake)
		o.DeleteNow = true // in the recovery window, versions from before come back with the name
		return open(t, o)
	})
}

func TestPutsOfSeveralProcesses(t *testing.T) {
	fake := awsfake.New(t)
	storetest.ConcurrentPuts(t, []secret.Store{open(t, options(fake)), open(t, options(fake)), open(t, options(fake))})
}

func TestStages(t *testing.T) {
	store := open(t, options(awsfake.New(t)))
	one, two := put(t, store, "prod/stripe", "one"), put(t, store, "prod/stripe", "two")
	if v := want(t, store, "prod/stripe", "AWSPREVIOUS", "one"); v.ID != one.ID || v.Current {
		t.Errorf("AWSPREVIOUS is %+v, want %q", v, one.ID)
	}
	if v := want(t, store, "prod/stripe", "AWSCURRENT", "two"); v.ID != two.ID || !v.Current {
		t.Errorf("AWSCURRENT is %+v, want %q", v, two.ID)
	}
	wantErr(t, get(t, store, "prod/stripe", "AWSPENDING"), secret.ErrVersionGone, "list-secret-version-ids")
	back, err := store.Rollback(t.Context(), "prod/stripe", "AWSPREVIOUS")
	if err != nil {
		t.Fatal(err)
	}
	if v := want(t, store, "prod/stripe", "", "one"); v.ID != back.ID {
		t.Errorf("rolled back to %q, and %q is current", back.ID, v.ID)
	}
	want(t, store, "prod/stripe", "AWSPREVIOUS", "two")
}

func TestVersionsPastTheLabelledOnes(t *testing.T) {
	store := open(t, options(awsfake.New(t)))
	first := put(t, store, "many", "value 0")
	for range 120 { // more than a page
		put(t, store, "many", "value")
	}
	want(t, store, "many", first.ID, "value 0")
	history, err := store.History(t.Context(), "many")
	if err != nil || len(history) != 121 || history[120].ID != first.ID || !history[0].Current {
		t.Fatalf("got %d versions, %v", len(history), err)
	}
}

func TestARN(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	put(t, store, "prod/db", "value")
	arn := fake.ARN("prod/db")
	want(t, store, arn, "", "value")
	want(t, store, arn[:len(arn)-7], "", "value")
	put(t, store, arn, "newer")
	want(t, store, "prod/db", "", "newer")
	_, err := store.Put(t.Context(), arn[:len(arn)-7]+"x", secret.NewValue([]byte("v")))
	wantErr(t, err, secret.ErrNotFound, "")
	// A secret of another region is asked for there: here, the signature says so.
	elsewhere := strings.Replace(arn, awsfake.Region, "us-east-9", 1)
	if err := get(t, store, elsewhere, ""); err == nil {
		t.Error("an ARN of another region was read in this one")
	}
	if last := fake.Calls()[len(fake.Calls())-1]; !strings.Contains(last.Header.Get("Authorization"),
		"/us-east-9/secretsmanager/") {
		t.Errorf("signed for %q, want the ARN's region", last.Header.Get("Authorization"))
	}
}

func TestTextAndBytes(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	put(t, store, "text", "pässword\n")
	put(t, store, "bytes", "\xff\x00")
	for path, member := range map[string]string{"text": `"SecretString"`, "bytes": `"SecretBinary"`} {
		for _, c := range fake.Calls() {
			if c.Action == "CreateSecret" && strings.Contains(c.Body, `"`+path+`"`) &&
				!strings.Contains(c.Body, member) {
				t.Errorf("%s went out without %s", path, member)
			}
		}
	}
	_, err := store.Put(t.Context(), "big", secret.NewValue(make([]byte, awsfake.MaxValue+1)))
	if err == nil || !strings.Contains(err.Error(), "ValidationException") {
		t.Errorf("a value past the service's limit: %v", err)
	}
}

func TestRecoveryWindow(t *testing.T) {
	fake := awsfake.New(t)
	o := options(fake)
	o.RecoveryDays = 7
	store := open(t, o)
	old := put(t, store, "prod/x", "old")
	if err := store.Delete(t.Context(), "prod/x"); err != nil {
		t.Fatal(err)
	}
	if last := fake.Calls()[len(fake.Calls())-1]; !strings.Contains(last.Body, `"RecoveryWindowInDays":7`) {
		t.Errorf("deleted with %s", last.Body)
	}
	wantErr(t, get(t, store, "prod/x", ""), secret.ErrNotFound, "restore-secret --secret-id prod/x")
	wantErr(t, get(t, store, "prod/x", old.ID), secret.ErrNotFound, "restore-secret")
	wantErr(t, store.Delete(t.Context(), "prod/x"), secret.ErrNotFound, "")
	entries, err := store.List(t.Context(), "prod/")
	if err != nil || len(entries) != 0 {
		t.Errorf("listed %+v, %v", entries, err)
	}
	revived := put(t, store, "prod/x", "new")
	if v := want(t, store, "prod/x", "", "new"); v.ID != revived.ID || v.ID == old.ID {
		t.Errorf("current is %q", v.ID)
	}
	want(t, store, "prod/x", "AWSPREVIOUS", "old") // as documented: the service restores what it kept
}

func TestADeletionThatIsNotFinishedYet(t *testing.T) {
	fake := awsfake.New(t)
	refusals := 3
	fake.Answer = func(w http.ResponseWriter, _ *http.Request, action string) bool {
		if action != "CreateSecret" || refusals == 0 {
			return false
		}
		refusals--
		awsfake.Fail(w, 400, "InvalidRequestException",
			"You can't create this secret because a secret with this name is already scheduled for deletion.")
		return true
	}
	store := open(t, options(fake))
	put(t, store, "again", "value")
	want(t, store, "again", "", "value")
}

func TestListInPages(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	for _, name := range many("page/s", 230) {
		put(t, store, name, "x")
	}
	put(t, store, "other", "x")
	entries, err := store.List(t.Context(), "page/")
	if err != nil || len(entries) != 230 {
		t.Fatalf("got %d entries, %v", len(entries), err)
	}
	if n := fake.Count("ListSecrets"); n != 3 {
		t.Errorf("%d calls for 230 secrets, want 3", n)
	}
}

func TestPutIf(t *testing.T) {
	fake := awsfake.New(t)
	store := open(t, options(fake))
	putIf := func(value, expected string) (secret.Version, error) {
		return store.PutIf(t.Context(), "shared", secret.NewValue([]byte(value)), expected)
	}
	_, err := putIf("zero", strings.Repeat("0", 32))
	wantErr(t, err, secret.ErrConflict, "")
	one, err := putIf("one", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = putIf("other", "")
	wantErr(t, err, secret.ErrConflict, "")
	two, err := putIf("two", one.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = putIf("late", one.ID)
	wantErr(t, err, secret.ErrConflict, "")
	if v := want(t, store, "shared", "", "two"); v.ID != two.ID {
		t.Errorf("current is %q, want %q", v.ID, two.ID)
	}
	want(t, store, "shared", "AWSPREVIOUS", "one")
	wantErr(t, get(t, store, "shared", "SALLYPORT"), secret.ErrVersionGone, "")
}

func TestARepeatedPutIsOneVersion(t *testing.T) {
	fake := awsfake.New(t)
	lose := false
	fake.Answer = func(w http.ResponseWriter, r *http.Request, action string) bool {
		if action != "PutSecretValue" || !lose {
			return false
		}
		lose = false
		fake.Apply(r, action, fake.Calls()[len(fake.Calls())-1].Body) // it happens, and the answer is lost
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	store := open(t, options(fake))
	put(t, store, "once", "one")
	lose = true
	put(t, store, "once", "two")
	history, err := store.History(t.Context(), "once")
	if err != nil || len(history) != 2 {
		t.Errorf("got %d versions, %v; want 2: the retry carries the same token", len(history), err)
	}
}

var _ interface {
	secret.Store
	secret.Writer
	secret.Lister
	secret.Batcher
	secret.CheckAndSetter
} = (*awssm.Store)(nil)

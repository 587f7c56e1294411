package plan_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sallyport/internal/driver"
	"sallyport/internal/rotation/plan"
)

func sample() plan.Does {
	return plan.Does{
		Rotation: "crm",
		Secret: plan.Secret{
			Ref: "ref+corp://n8n/crm#key", Store: "corp", Kind: "vault", Version: "7", Settings: plan.Digest("vault"),
		},
		Driver: plan.Driver{
			Kind: "http", Settings: plan.Digest("http"),
			Can:   driver.Capabilities{Lists: true, Deletes: true, MaxKeys: 2, Late: time.Minute},
			Files: []driver.File{driver.FileOf("/etc/sallyport/crm.yaml", []byte("a definition"))},
		},
		OldKey: "k7", Grace: time.Hour, Approve: 2,
		Services: []plan.Service{{Name: "crm", Test: "GET /me"}, {Name: "crm-eu"}},
		Restart:  []plan.Restart{{Fleet: "n8n", Units: []string{"main", "worker"}}},
	}
}

// TestEveryFieldCounts: whatever decides what a run does changes the hash, also a field that is added later.
func TestEveryFieldCounts(t *testing.T) {
	original := sample()
	seen := map[string]string{original.Hash(): "nothing changed"}
	leaves := 0
	var visit func(path string, at func(*plan.Does) reflect.Value)
	visit = func(path string, at func(*plan.Does) reflect.Value) {
		d := sample()
		v := at(&d)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				visit(path+"."+v.Type().Field(i).Name, func(d *plan.Does) reflect.Value { return at(d).Field(i) })
			}
			return
		case reflect.Slice:
			for i := range v.Len() {
				visit(path, func(d *plan.Does) reflect.Value { return at(d).Index(i) })
			}
			v.Set(v.Slice(0, v.Len()-1))
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		default:
			t.Fatalf("%s is of kind %s, which the canonical form does not know", path, v.Kind())
		}
		leaves++
		if before, there := seen[d.Hash()]; there {
			t.Errorf("with another %s the hash is that of: %s", path, before)
		}
		seen[d.Hash()] = "another " + path
	}
	visit("does", func(d *plan.Does) reflect.Value { return reflect.ValueOf(d).Elem() })
	if leaves < 20 {
		t.Errorf("only %d fields were looked at", leaves)
	}
}

// TestNoFieldStandsForAnother: what is in one value cannot look like a line of its own, and bytes that are no UTF-8
// stay apart.
func TestNoFieldStandsForAnother(t *testing.T) {
	one, two := sample(), sample()
	one.Rotation, one.OldKey = "crm\"\nOldKey = \"k7", ""
	two.Rotation = "crm"
	if one.Hash() == two.Hash() {
		t.Error("a value stands for a field")
	}
	one, two = sample(), sample()
	one.OldKey, two.OldKey = "\xff", "\xfe"
	if one.Hash() == two.Hash() {
		t.Error("two keys have one hash")
	}
	one, two = sample(), sample()
	one.Restart = []plan.Restart{{Fleet: "a", Units: []string{"b"}}}
	two.Restart = []plan.Restart{{Fleet: "a"}, {Fleet: "b"}}
	if one.Hash() == two.Hash() {
		t.Error("a unit stands for a fleet")
	}
	one, two = sample(), sample()
	two.Restart[0].Units = append(two.Restart[0].Units, "")
	if one.Hash() == two.Hash() {
		t.Error("an empty unit does not count")
	}
}

// TestStable: clock times, counts, replicas and the order in which services were found change nothing, and a plan that
// went through JSON is the same. The hash itself is fixed: people compare it between two releases.
func TestStable(t *testing.T) {
	d := sample()
	before := plan.New(d, plan.Now{})
	d.Services = []plan.Service{d.Services[1], d.Services[0]}
	after := plan.New(d, plan.Now{
		Replicas:  []string{"b", "a"},
		Consumers: []plan.Consumer{{By: "Orders", Count: 3, Last: time.Unix(1, 0)}},
		Keys:      []driver.Key{{ID: "k7", Created: time.Unix(2, 0)}},
		Approved:  []string{"ann"}, Run: "r", Notes: []string{"n"},
	})
	if before.Hash != after.Hash {
		t.Errorf("%s, then %s", before.Hash, after.Hash)
	}
	text, err := json.Marshal(after)
	if err != nil {
		t.Fatal(err)
	}
	back := new(plan.Plan)
	if err := json.Unmarshal(text, back); err != nil || back.Does.Hash() != after.Hash {
		t.Errorf("after JSON: %s (%v)", back.Does.Hash(), err)
	}
	if want := "8dda4f92695753635e26cb8c68329ef386650f92d2e1f8f0b4432188fd437f1c"; before.Hash != want {
		t.Errorf("got %s, want %s of\n%s", before.Hash, want, before.Does.Text())
	}
}

func TestRows(t *testing.T) {
	p := plan.New(sample(), plan.Now{
		Replicas: []string{"gate-2", "gate-1"},
		Consumers: []plan.Consumer{
			{By: "Orders", Count: 3, Last: time.Unix(0, 0)}, {By: "Bills", Count: 1, Last: time.Unix(0, 0)},
		},
		Keys:     []driver.Key{{ID: "k7"}, {ID: "k6", Label: "by hand"}},
		Approved: []string{"ann"},
	})
	var got []string
	for _, row := range p.Rows() {
		got = append(got, row.Name+": "+strings.ReplaceAll(row.Text, p.Hash, "HASH"))
	}
	want := []string{
		"rotation: crm",
		"secret: ref+corp://n8n/crm#key, in store corp (vault): version 7 is replaced",
		"driver: http",
		"as in: /etc/sallyport/crm.yaml, SHA-256 a177cc21d3aca3bd",
		"services: crm, crm-eu",
		"replicas: gate-1, gate-2",
		"used by: Orders, 3 times, last 1970-01-01 00:00:00",
		": Bills, 1 times, last 1970-01-01 00:00:00",
		"keys there: k7 (the old one)",
		": k6 by hand",
		"1 create: have the provider make a key beside the old one",
		"2 set: write it beside the secret, as pending",
		"3 test: use it on every replica: crm: GET /me",
		"4 promote: make the new value current in the store; from here on there is no way back",
		"5 spread: wait until every replica uses it",
		"6 restart: fleet n8n main worker",
		"7 retire: delete key k7, once each consumer has used the new version and nobody the old one for 1h0m0s",
		"approvals: 2 needed beside who starts it; given by: ann",
		"plan: HASH",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestOldKey: a key is named only where the run would end that one.
func TestOldKey(t *testing.T) {
	one, two := []driver.Key{{ID: "a"}}, []driver.Key{{ID: "a"}, {ID: "b"}}
	for name, c := range map[string]struct {
		known, version, want string
		keys                 []driver.Key
	}{
		"on record":         {"b", "7", "b", two},
		"the only one":      {"", "7", "a", one},
		"one of two":        {"", "7", "", two},
		"no version to it":  {"", "", "", one},
		"the record counts": {"b", "7", "b", one},
	} {
		if got := plan.OldKey(c.known, c.keys, c.version); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestDifferences(t *testing.T) {
	one, two := sample(), sample()
	two.Secret.Version = "8"
	want := []string{`was: Secret.Version = "7"`, `is:  Secret.Version = "8"`}
	if diff := cmp.Diff(want, plan.Differences(one.Text(), two.Text())); diff != "" {
		t.Error(diff)
	}
}

package check_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"sallyport/internal/audit"
	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/secret"
	"sallyport/internal/testkit/recorded"
)

// TestBackupN8N opens copies of databases that real n8n versions have made.
func TestBackupN8N(t *testing.T) {
	for _, r := range recorded.Of(t, recorded.SQLite) {
		if r.Prefix != "" {
			continue // --table-prefix goes with a database that runs
		}
		file := r.SQLite(t)
		drill := func(key, backup string) doctor.Result {
			return one(t, "backup", &site.Site{
				Drill: true, N8NBackup: backup,
				N8NKey: func(context.Context) (secret.Value, error) {
					return secret.NewValue([]byte(key)), nil
				},
			})
		}
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		has(t, drill(r.Master, file), doctor.OK, "the master key opens all of its")
		wrong := drill("another-key-0123456789abcdef", file)
		has(t, wrong, doctor.Failed, "the master key opens 0 of its values")
		cut := written(t, t.TempDir(), "cut.sqlite", string(before[:len(before)/3]), 0o600)
		if r := drill(r.Master, cut); r.Status != doctor.Failed {
			t.Errorf("a cut backup: %+v", r.Seen)
		}
		if r := drill(r.Master, file+".gone"); r.Status != doctor.Failed {
			t.Errorf("no backup: %+v", r.Seen)
		}
		after, err := os.ReadFile(file)
		if err != nil || string(after) != string(before) {
			t.Error("the backup was changed")
		}
	}
}

func TestBackupGate(t *testing.T) {
	restores := func(n int, err error) *site.Site {
		return &site.Site{Drill: true, Backup: "copy", Restore: func(context.Context, string) (int,
			error,
		) {
			return n, err
		}}
	}
	for _, c := range []struct {
		n    int
		err  error
		want doctor.Status
	}{{3, nil, doctor.OK}, {0, nil, doctor.Warning}, {0, errors.New("the seal key does not open it"), doctor.Failed}} {
		if r := one(t, "backup", restores(c.n, c.err)); r.Status != c.want {
			t.Errorf("%d, %v: %+v", c.n, c.err, r.Seen)
		}
	}
	golden(t, "backup", one(t, "backup", restores(0, errors.New("the seal key does not open it"))))
	for _, on := range []*site.Site{{}, {Drill: true}, {Backup: "copy"}, {Drill: true, N8NBackup: "x"}} {
		if r := one(t, "backup", on); r.Status != doctor.Unseen {
			t.Errorf("%+v: %+v", on, r.Seen)
		}
	}
}

func TestAuditLog(t *testing.T) {
	says := func(r audit.Report, err error) *site.Site {
		return &site.Site{Audit: func(context.Context) (audit.Report, string, error) { return r, "audit.jsonl", err }}
	}
	for _, c := range []struct {
		report audit.Report
		err    error
		want   doctor.Status
	}{
		{audit.Report{OK: true, Records: 7, Checkpoints: 2}, nil, doctor.OK},
		{audit.Report{OK: true}, nil, doctor.Unseen},
		{audit.Report{CutTail: true, Records: 7}, nil, doctor.Failed},
		{audit.Report{Missing: &audit.Range{From: 2, To: 3}}, nil, doctor.Failed},
		{audit.Report{}, errors.New("there is no key"), doctor.Unseen},
	} {
		if r := one(t, "audit-log", says(c.report, c.err)); r.Status != c.want {
			t.Errorf("%+v, %v: %+v", c.report, c.err, r.Seen)
		}
	}
	golden(t, "audit-log", one(t, "audit-log", says(audit.Report{CutTail: true}, nil)))
}

// TestStoreAudit asks a real Vault as one who may see its audit devices, and as one who may not.
func TestStoreAudit(t *testing.T) {
	server := vaults.Server(t)
	as := func(token string) *site.Site {
		file := written(t, t.TempDir(), "token", token, 0o600)
		return configured(t, "stores: {corp: {kind: vault, address: '"+server.Address+"', auth: {token_file: "+
			""+file+"}}}\n")
	}
	if r := one(t, "store-audit", as(server.RootToken)); r.Status != doctor.Failed {
		t.Errorf("no device: %+v", r.Seen)
	}
	server.Call(t, "PUT", "sys/audit/doctor", map[string]any{
		"type": "file", "options": map[string]string{"file_path": "discard"},
	})
	t.Cleanup(func() { server.Call(t, "DELETE", "sys/audit/doctor", nil) })
	r := one(t, "store-audit", as(server.RootToken))
	has(t, r, doctor.OK, "1 audit devices are on")
	r = one(t, "store-audit", as(server.Token(t, map[string]any{"policies": []string{"default"}})))
	golden(t, "store-audit", r)
	if r.Status != doctor.Unseen {
		t.Errorf("one who may not ask: %+v", r.Seen)
	}
}

package process_test

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/fault"
	"sallyport/internal/n8n/environment"
	"sallyport/internal/n8n/process"
)

// TestOfUnit: the n8n of a unit is found by its control group, with its own environment and its own files, and what is
// not found is an error: the environment of who asks says nothing of it.
func TestOfUnit(t *testing.T) {
	root := proc{
		1:  {argv: "/sbin/init"},
		20: {argv: "node /usr/bin/n8n worker", environ: "N8N_ENCRYPTION_KEY_FILE=/run/c/key HOME=/home/n8n", ns: "5"},
		21: {argv: "node /usr/bin/n8n start", environ: "N8N_ENCRYPTION_KEY=other HOME=/root"},
		22: {argv: "node /usr/bin/n8n start", environ: "-"},
		23: {argv: "/usr/bin/python3 app.py", environ: "N8N_ENCRYPTION_KEY=wrong"},
		24: {argv: "node /usr/bin/n8n webhook", environ: "N8N_ENCRYPTION_KEY_FILE=key"},
	}.write(t)
	for pid, line := range map[string]string{
		"20": "0::/system.slice/n8n-worker.service\n", "21": "12:pids:/\n1:name=systemd:/system.slice/n8n.service\n",
		"22": "0::/system.slice/hidden.service\n", "23": "0::/system.slice/app.service\n",
		"24": "0::/system.slice/n8n-hook.service/payload\n",
	} {
		if err := os.WriteFile(filepath.Join(root, pid, "cgroup"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(pid string, below ...string) string {
		return filepath.Join(append([]string{root, pid}, below...)...)
	}
	for _, c := range []struct {
		unit       string
		pid        int
		role       environment.Role
		name, want string
		shownAs    string
	}{
		{unit: "n8n-worker.service", pid: 20, role: environment.Worker, name: "N8N_ENCRYPTION_KEY_FILE", want: at("20", "root", "run", "c", "key"), shownAs: "/run/c/key"},
		{unit: "n8n-worker.service", pid: 20, role: environment.Worker, name: "HOME", want: at("20", "root", "home", "n8n"), shownAs: "/home/n8n"},
		{unit: "n8n.service", pid: 21, role: environment.Main, name: "N8N_ENCRYPTION_KEY", want: "other", shownAs: "other"},
		{unit: "n8n-hook.service", pid: 24, role: environment.Webhook, name: "N8N_ENCRYPTION_KEY_FILE", want: at("24", "cwd", "key"), shownAs: "key"},
	} {
		p, err := process.OfUnit(root, c.unit)
		if err != nil || p.PID != c.pid || p.Role != c.role {
			t.Errorf("%s: got %v %s, %v", c.unit, p, p.Role, err)
			continue
		}
		if got, _ := p.Lookup(c.name); got != c.want || p.Shown(got) != c.shownAs {
			t.Errorf("%s: %s is %q, shown as %q; want %q and %q", c.unit, c.name, got, p.Shown(got), c.want, c.shownAs)
		}
	}
	for _, unit := range []string{"hidden.service", "app.service", "gone.service", "n8n-worker"} {
		if p, err := process.OfUnit(root, unit); err == nil || fault.HintOf(err) == "" {
			t.Errorf("%s: got %v, %v (hint %q)", unit, p, err, fault.HintOf(err))
		}
	}
	if p, _ := process.OfUnit(root, "n8n-hook.service"); true {
		if home, ok := p.Lookup("HOME"); !ok || home != at("24", "cwd") {
			t.Errorf("without a home it is %q, want the working folder", home)
		}
	}
}

func TestCheckUnit(t *testing.T) {
	for unit, sound := range map[string]bool{
		"n8n.service": true, "n8n@1.service": true, `n8n\\x2d1.service`: true, "n8n": false, ".service": false,
		"-x.service": false, "a b.service": false, "a'.service": false, "../n8n.service": false, "n8n.service\n": false,
	} {
		if err := process.CheckUnit(unit); (err == nil) != sound {
			t.Errorf("%q: got %v", unit, err)
		}
	}
}

package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/rotation/run"
)

// Row is a line of a plan as a person reads it.
type Row struct{ Name, Text string }

// Rows say what is touched, then step by step what is done.
func (p *Plan) Rows() []Row {
	rows := []Row{
		{"rotation", p.Does.Rotation},
		{"secret", p.secret()},
		{"driver", p.Does.Driver.Kind},
	}
	for i, file := range p.Does.Driver.Files {
		rows = append(rows, Row{only(i, "as in"), file.Path + ", SHA-256 " + file.SHA256[:min(len(file.SHA256), 16)]})
	}
	rows = append(rows, Row{"services", p.services()},
		Row{"replicas", cmp.Or(strings.Join(p.Now.Replicas, ", "), "none is known")})
	for i, c := range p.Now.Consumers {
		rows = append(rows, Row{only(i, "used by"), fmt.Sprintf("%s, %d times, last %s", c.By, c.Count,
			c.Last.UTC().Format(time.DateTime))})
	}
	for i, key := range p.Now.Keys {
		text := strings.TrimSpace(key.ID + " " + key.Label)
		if key.ID == p.Does.OldKey {
			text += " (the old one)"
		}
		rows = append(rows, Row{only(i, "keys there"), text})
	}
	if p.Now.Run != "" {
		rows = append(rows, Row{"unfinished", "run " + p.Now.Run + " stands at step " + p.Now.Step + " and goes on"})
	}
	for i, note := range p.Now.Notes {
		rows = append(rows, Row{only(i, "note"), note})
	}
	for i, step := range p.Steps() {
		rows = append(rows, Row{fmt.Sprintf("%d %s", i+1, step.Step), step.Text})
	}
	if p.Does.Approve > 0 {
		rows = append(rows, Row{"approvals", fmt.Sprintf("%d needed beside who starts it; given by: %s", p.Does.Approve,
			cmp.Or(strings.Join(p.Now.Approved, ", "), "nobody"))})
	}
	return append(rows, Row{"plan", p.Hash})
}

// only is name for the first of several rows.
func only(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func (p *Plan) secret() string {
	s := p.Does.Secret
	version := "no version is there yet"
	if s.Version != "" {
		version = "version " + s.Version + " is replaced"
	}
	return s.Ref + ", in store " + s.Store + " (" + s.Kind + "): " + version
}

func (p *Plan) services() string {
	if len(p.Does.Services) == 0 {
		return "none uses it"
	}
	var list []string
	for _, s := range p.Does.Services {
		list = append(list, s.Name)
	}
	return strings.Join(list, ", ")
}

// Step is a step of the run, with what it does.
type Step struct {
	Step run.Step `json:"step"`
	Text string   `json:"text"`
}

// Steps are what the run does, in order. Until promote everything is taken back if a step fails.
func (p *Plan) Steps() []Step {
	return []Step{
		{run.StepCreate, p.create()},
		{run.StepSet, p.set()},
		{run.StepTest, p.test()},
		{run.StepPromote, "make the new value current in the store; from here on there is no way back"},
		{run.StepSpread, "wait until every replica uses it"},
		{run.StepRestart, p.restart()},
		{run.StepRetire, p.retire()},
	}
}

func (p *Plan) create() string {
	if p.Does.Driver.Can.Deletes {
		return "have the provider make a key beside the old one"
	}
	return "make a new value"
}

func (p *Plan) set() string {
	text := "write it beside the secret, as pending"
	if p.Does.Driver.Can.MaxKeys == 1 {
		text += ", and have the provider take it in place of the old one, which is not accepted from then on"
	}
	if p.Does.Driver.Can.Elsewhere {
		text += "; the driver has effects that the configuration does not show"
	}
	return text
}

func (p *Plan) test() string {
	var calls []string
	for _, s := range p.Does.Services {
		if s.Test != "" {
			calls = append(calls, s.Name+": "+s.Test)
		}
	}
	if len(calls) == 0 {
		return "have the driver try it; no service has a test call"
	}
	return "use it on every replica: " + strings.Join(calls, "; ")
}

func (p *Plan) restart() string {
	var list []string
	for _, r := range p.Does.Restart {
		list = append(list, strings.TrimSpace("fleet "+r.Fleet+" "+strings.Join(r.Units, " ")))
	}
	return cmp.Or(strings.Join(list, ", then "), "nothing is restarted")
}

func (p *Plan) retire() string {
	switch {
	case !p.Does.Driver.Can.Deletes:
		return "nothing is left to end"
	case p.Does.Secret.Version == "":
		return "there was no old key"
	case p.Does.OldKey == "":
		return "which key is the old one is not known: it is left, and named"
	}
	return fmt.Sprintf("delete key %s, once each consumer has used the new version and nobody the old one for %s",
		p.Does.OldKey, p.Does.Grace)
}

// About says of any run what a step does, for who watches it.
func About(step run.Step) string {
	return map[run.Step]string{
		run.StepCreate:  "making the new key",
		run.StepSet:     "writing it beside the secret, as pending",
		run.StepTest:    "using it on every replica",
		run.StepPromote: "making it current in the store",
		run.StepSpread:  "waiting until every replica uses it",
		run.StepRestart: "restarting what reads it only when it starts",
		run.StepRetire:  "looking who still needs the old key",
		run.StepUndo:    "taking back what was made",
	}[step]
}

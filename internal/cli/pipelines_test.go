package cli_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"
)

// step is what a runner runs of a job.
type step struct {
	checkout bool // get the repository first, and nothing else
	shell    []string
	script   string
}

// workflow is a file of GitHub Actions, with the keys that a test can hold to anything.
type workflow struct {
	Name string `yaml:"name"`
	On   struct {
		Schedule         []struct{ Cron string } `yaml:"schedule"`
		WorkflowDispatch any                     `yaml:"workflow_dispatch"`
	} `yaml:"on"`
	Concurrency string `yaml:"concurrency"`
	Jobs        map[string]struct {
		RunsOn         string            `yaml:"runs-on"`
		TimeoutMinutes int               `yaml:"timeout-minutes"`
		Permissions    map[string]string `yaml:"permissions"`
		Steps          []struct {
			Name string `yaml:"name"`
			Uses string `yaml:"uses"`
			Run  string `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// steps are those of the one job, as GitHub's runner runs them on Linux: each by a bash of its own, with -e.
func (w *workflow) steps() (steps []step, err error) {
	if len(w.Jobs) != 1 || len(w.On.Schedule) == 0 {
		return nil, fmt.Errorf("%d jobs and %d schedules, want one of each", len(w.Jobs), len(w.On.Schedule))
	}
	for _, at := range w.On.Schedule {
		const fields = 5
		if len(strings.Fields(at.Cron)) != fields {
			return nil, fmt.Errorf("the cron expression %q has not five fields", at.Cron)
		}
	}
	for _, job := range w.Jobs {
		if job.RunsOn == "" || job.TimeoutMinutes == 0 {
			return nil, errors.New("the job has no runner, or may run for ever")
		}
		for _, s := range job.Steps {
			switch {
			case strings.HasPrefix(s.Uses, "actions/checkout@v") && s.Run == "":
				steps = append(steps, step{checkout: true})
			case s.Uses == "" && s.Run != "" && !strings.Contains(s.Run, "${{"):
				steps = append(steps, step{shell: []string{"bash", "-e"}, script: s.Run})
			default:
				return nil, fmt.Errorf("the step %q%q is none that this test can run", s.Uses, s.Run)
			}
		}
	}
	return steps, nil
}

// gitlabJob is a job of a file of GitLab CI.
type gitlabJob struct {
	Rules []struct {
		If   string `yaml:"if"`
		When string `yaml:"when"`
	} `yaml:"rules"`
	ResourceGroup string   `yaml:"resource_group"`
	Timeout       string   `yaml:"timeout"`
	Script        []string `yaml:"script"`
}

// steps are one: GitLab's runner has the repository, and gives the lines of a job to one bash, with -eo pipefail.
func (j *gitlabJob) steps() ([]step, error) {
	if len(j.Rules) == 0 || j.ResourceGroup == "" || j.Timeout == "" || len(j.Script) == 0 {
		return nil, errors.New("the job lacks rules, resource_group, timeout or script")
	}
	return []step{{checkout: true}, {
		shell: []string{"bash", "-eo", "pipefail"}, script: strings.Join(j.Script, "\n") + "\n",
	}}, nil
}

// pipeline runs the job of a CI file as its runner would, and wants its exit code: pipeline CODE FILE NAME=VALUE…
// The variables are all that the job has beside PATH and HOME, and deploy/ci is all that its repository has.
func pipeline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pipeline CODE FILE NAME=VALUE...")
	}
	steps, err := read(ts.ReadFile(args[1]))
	ts.Check(err)
	place, err := os.MkdirTemp(ts.MkAbs("."), "runner-")
	ts.Check(err)
	code := 0
	for i, s := range steps {
		if s.checkout {
			ts.Check(os.CopyFS(filepath.Join(place, "deploy", "ci"), os.DirFS(ts.Getenv("SCRIPTS"))))
			continue
		}
		file := ts.MkAbs(fmt.Sprintf("%s-%d.sh", filepath.Base(place), i))
		ts.Check(os.WriteFile(file, []byte(s.script), 0o600))
		command := slices.Concat([]string{"-i", "-C", place, "PATH=" + ts.Getenv("PATH"), "HOME=" + place}, args[2:],
			s.shell, []string{file})
		var exit *exec.ExitError
		if err := ts.Exec("env", command...); errors.As(err, &exit) {
			code = exit.ExitCode()
			break
		} else {
			ts.Check(err)
		}
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("the job of %s exits with %d, want %s", args[1], code, args[0])
	}
}

// read reads the job of a CI file. An unknown key is an error: a runner would leave it out, or refuse the file.
func read(text string) ([]step, error) {
	if strings.Contains(text, "\njobs:") {
		w := new(workflow)
		if err := yaml.UnmarshalWithOptions([]byte(text), w, yaml.Strict()); err != nil {
			return nil, err
		}
		return w.steps()
	}
	var jobs map[string]*gitlabJob
	if err := yaml.UnmarshalWithOptions([]byte(text), &jobs, yaml.Strict()); err != nil {
		return nil, err
	}
	for _, job := range jobs {
		if len(jobs) == 1 {
			return job.steps()
		}
	}
	return nil, fmt.Errorf("%d jobs, want one", len(jobs))
}

package check

import (
	"context"
	_ "embed" // the page
	"time"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/rotation/run"
)

//go:embed rotation.md
var rotationPage string

func rotations() doctor.Check {
	return doctor.Check{
		ID: "rotation", Title: "Tokens and secrets are rotated by themselves, and the last time went well",
		Severity: doctor.High,
		Asks: "The gate's configuration and database: which rotations have a schedule, and how did the last run " +
			"of each end?",
		Guide: []string{doctor.GuideRotate}, Page: rotationPage, Look: lookAtRotations,
	}
}

// late is how long after its time a rotation is overdue.
const late = 6 * time.Hour

func lookAtRotations(ctx context.Context, on *site.Site) (seen []doctor.Seen, err error) {
	if on.Rotations == nil {
		return nil, errNobody("there is no gate here", "run it where the gate runs")
	}
	list, err := on.Rotations(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		seen = append(seen, rotationSeen(r, on.Now))
	}
	if len(seen) == 0 {
		seen = append(seen, doctor.Doubtful("sallyport.yaml", "nothing is rotated: neither a token nor a secret",
			"tokens.NAME.rotate and rotations.NAME: docs/rotation.md"))
	}
	return seen, nil
}

func rotationSeen(r site.Rotation, now time.Time) doctor.Seen {
	at := r.Kind + " " + r.Name
	because := ""
	if r.Error != "" {
		because = ": " + r.Error
	}
	status := "`sallyport rotation status " + r.Name + "` says what it waits for"
	switch run.State(r.State) {
	case run.StateStuck:
		return doctor.Bad(at, "its last run is stuck"+because, status)
	case run.StateRolledBack, run.StateAborted:
		return doctor.Bad(at, "its last run was taken back, on "+day(r.Last)+because, status)
	case run.StateRunning, run.StateWaiting:
		if r.Error != "" {
			return doctor.Doubtful(at, "a run is under way, and has met an error"+because, status)
		}
	case run.StateDone:
	}
	switch {
	case !r.Planned:
		return doctor.Doubtful(at, "no schedule begins its rotation", "give it a schedule: docs/rotation.md")
	case r.Last.IsZero():
		return doctor.Doubtful(at, "it has a schedule, and has never run", "`sallyport rotate "+r.Name+"` begins a "+
			"first run")
	case !r.Due.IsZero() && now.Sub(r.Due) > late:
		return doctor.Bad(at, "it was due on "+day(r.Due)+", and has not run", "does the gate run? Its log says why "+
			"not")
	case r.State == string(run.StateDone):
		return doctor.Good(at, "its last run went well, on "+day(r.Last))
	}
	return doctor.Good(at, "a run is under way, since "+day(r.Last))
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

package doctor

import "slices"

// The lines of the guide's checklist, section 7, in its order.
const (
	GuideKey     = "Master encryption key stored as orchestrator secret"
	GuideSameKey = "All workers share identical N8N_ENCRYPTION_KEY"
	GuideLeast   = "External secret store has least-privilege policies"
	GuideImages  = "Secrets are not committed to Docker images"
	GuideRotate  = "Rotation pipeline in CI/CD"
	GuideAlerts  = "Monitoring alerts for secret fetch failures"
	GuideTLS     = "TLS everywhere (ingress, vault, internal API)"
)

// Guide are the lines of the guide's checklist.
func Guide() []string {
	return []string{GuideKey, GuideSameKey, GuideLeast, GuideImages, GuideRotate, GuideAlerts, GuideTLS}
}

// GuideLine is a line of the guide's checklist with what has become of it.
type GuideLine struct {
	Title  string
	Status Status   // the worst of its checks
	Checks []string // that have run
}

// guideLines says of each line how it stands. One of which no check has run could not be looked at.
func guideLines(r Report) []GuideLine {
	var lines []GuideLine
	for _, title := range Guide() {
		line := GuideLine{Title: title, Status: OK}
		for i := range r.Results {
			if one := &r.Results[i]; slices.Contains(one.Guide, title) {
				line.Status = Worse(line.Status, one.Status)
				line.Checks = append(line.Checks, one.ID)
			}
		}
		if len(line.Checks) == 0 {
			line.Status = Unseen
		}
		lines = append(lines, line)
	}
	return lines
}

package check

import (
	"context"
	_ "embed" // the page
	"fmt"
	"net/url"
	"strings"

	"sallyport/internal/doctor"
	"sallyport/internal/doctor/site"
	"sallyport/internal/monitor/alerts"
)

//go:embed alerts.md
var alertsPage string

func alertsLoaded() doctor.Check {
	return doctor.Check{
		ID: "alerts", Title: "Sallyport's alerts are loaded, can be evaluated, and reach " +
			"someone", Severity: doctor.High,
		Asks: "Prometheus: which alerting rules are loaded (/api/v1/rules), how did their last evaluation end, does " +
			"it " +
			"scrape Sallyport, and to which Alertmanagers does it send (/api/v1/alertmanagers)?",
		Guide: []string{doctor.GuideAlerts}, Page: alertsPage, Look: lookAtAlerts,
	}
}

// promRules is what Prometheus answers to /api/v1/rules.
type promRules struct {
	Data struct {
		Groups []struct {
			Rules []struct {
				Name   string `json:"name"`
				Health string `json:"health"` // ok, err, unknown (not evaluated yet)
				State  string `json:"state"`
				Type   string `json:"type"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"data"`
}

type promTargets struct {
	Data struct {
		Active []struct {
			Health string            `json:"health"` // up, down, unknown
			Labels map[string]string `json:"labels"`
		} `json:"activeTargets"`
	} `json:"data"`
}

type promManagers struct {
	Data struct {
		Active []struct{} `json:"activeAlertmanagers"`
	} `json:"data"`
}

const loadRules = "load deploy/prometheus/sallyport.rules.yml: rule_files in prometheus.yml, or a PrometheusRule"

func lookAtAlerts(ctx context.Context, on *site.Site) ([]doctor.Seen, error) {
	if on.Prometheus.URL == nil {
		return nil, errNobody("no Prometheus was named", "--prometheus http://prometheus:9090")
	}
	at := "Prometheus at " + on.Prometheus.URL.Host
	var rules promRules
	if err := on.Prometheus.JSON(ctx, "/api/v1/rules", url.Values{"type": {"alert"}}, &rules); err != nil {
		return nil, err
	}
	seen := rulesSeen(at, rules)
	var targets promTargets
	if err := on.Prometheus.JSON(ctx, "/api/v1/targets", url.Values{"state": {"active"}}, &targets); err != nil {
		seen = append(seen, doctor.DarkBy(at, err))
	} else {
		seen = append(seen, targetsSeen(at, targets))
	}
	var managers promManagers
	switch err := on.Prometheus.JSON(ctx, "/api/v1/alertmanagers", nil, &managers); {
	case err != nil:
		seen = append(seen, doctor.DarkBy(at, err))
	case len(managers.Data.Active) == 0:
		seen = append(seen, doctor.Bad(at, "it sends alerts to no Alertmanager: nobody is woken",
			"set alerting.alertmanagers in prometheus.yml"))
	default:
		seen = append(seen, doctor.Good(at, fmt.Sprintf("it sends alerts to %d Alertmanagers",
			len(managers.Data.Active))))
	}
	return seen, nil
}

// rulesSeen compares the rules that are loaded with the table of alerts.
func rulesSeen(at string, rules promRules) (seen []doctor.Seen) {
	health := make(map[string]string)
	for _, group := range rules.Data.Groups {
		for _, r := range group.Rules {
			if health[r.Name] != "err" {
				health[r.Name] = r.Health
			}
		}
	}
	var missing []string
	well, told := 0, make(map[string]bool)
	for _, a := range alerts.All() {
		state, loaded := health[a.Name]
		switch {
		case told[a.Name]:
		case !loaded:
			missing = append(missing, a.Name)
		case state == "err":
			seen = append(seen, doctor.Bad(at, "the last evaluation of "+a.Name+" ended in an error: it cannot fire",
				"Prometheus' page /rules shows the error; are the rules of this version loaded?"))
		case state == "unknown":
			seen = append(seen, doctor.Dark(at, a.Name+" has not been evaluated yet", "look again in a minute"))
		default:
			well++
		}
		told[a.Name] = true
	}
	if len(missing) > 0 {
		seen = append(seen, doctor.Bad(at, fmt.Sprintf("%d of %d alerts are not loaded: %s", len(missing), len(told),
			strings.Join(missing, ", ")), loadRules))
	}
	if well > 0 {
		seen = append(seen, doctor.Good(at, fmt.Sprintf("%d alerts are loaded and evaluated", well)))
	}
	return seen
}

// targetsSeen says whether the gate is scraped under a name by which the alerts know it.
func targetsSeen(at string, targets promTargets) doctor.Seen {
	up, down := 0, 0
	for _, t := range targets.Data.Active {
		if !strings.HasPrefix(t.Labels["job"], "sallyport") {
			continue
		}
		if t.Health == "up" {
			up++
		} else {
			down++
		}
	}
	switch {
	case up+down == 0:
		return doctor.Bad(at, "it scrapes no job whose name begins with sallyport, so that the alerts have no data",
			"add a scrape job named sallyport for the admin listener's /metrics")
	case down > 0:
		return doctor.Doubtful(at, fmt.Sprintf("%d targets of Sallyport are up, and %d are not", up, down),
			"Prometheus' page /targets shows why")
	}
	return doctor.Good(at, fmt.Sprintf("%d targets of Sallyport are up", up))
}

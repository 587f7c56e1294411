package app

import (
	"context"
	"time"

	"sallyport/internal/monitor"
)

const hintAltered = "someone writes to the database beside Sallyport, or an older one was put back: `sallyport " +
	"database check` names the rows, " +
	"docs/operations.md says what to do"

// ledgerParts tells of rows that are left out. The gate serves with the others.
func (a *App) ledgerParts() []monitor.Part {
	var parts []monitor.Part
	if a.altered.reports.Load() == nil {
		return nil
	}
	for _, report := range *a.altered.reports.Load() {
		if why := report.String(); why != "" {
			parts = append(parts, monitor.Part{
				Name: "rows of " + report.Table, Ready: true, Why: why,
				Hint: hintAltered,
			})
		}
	}
	return parts
}

// collectLedger counts rows that are left out.
func (a *App) collectLedger(emit func(monitor.Gauge)) {
	if a.altered.reports.Load() == nil {
		return
	}
	for _, report := range *a.altered.reports.Load() {
		emit(monitor.Gauge{Desc: monitor.RowsRefused, Value: float64(report.Rows()), Labels: []string{report.Table}})
		emit(monitor.Gauge{
			Desc: monitor.DatabaseTrusted, Value: truth(report.List == ""),
			Labels: []string{report.Table},
		})
	}
}

// rowsInterval is how late a row is told of that someone alters in the database; that it does not count needs no time.
const rowsInterval = 15 * time.Second

// watchRows looks at the tables now and then: who alters a row need not announce it.
func (a *App) watchRows(ctx context.Context) {
	every(ctx, rowsInterval, func() { a.tellAltered(ctx) })
}

// tellAltered looks at the tables, and logs what is wrong with one when that is something else than before.
func (a *App) tellAltered(ctx context.Context) {
	list, err := a.state.Check(ctx)
	if err != nil {
		return // the database is away, which is told elsewhere
	}
	a.altered.mu.Lock()
	defer a.altered.mu.Unlock()
	before := a.altered.reports.Swap(&list)
	for i, report := range list {
		why, told := report.String(), ""
		if before != nil {
			told = (*before)[i].String()
		}
		switch why {
		case told:
		case "":
			a.log.InfoContext(ctx, "the rows of the database are as Sallyport has written them again",
				"table", report.Table)
		default:
			a.log.ErrorContext(ctx, "ROWS OF THE DATABASE ARE LEFT OUT: Sallyport has not written them so",
				"table", report.Table, "why", why, "hint", hintAltered)
		}
	}
}

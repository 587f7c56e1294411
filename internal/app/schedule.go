package app

import (
	"sallyport/internal/fault"
	"sallyport/internal/rotation/proxytoken"
)

// newSchedule rotates tokens as the configuration says.
func (a *App) newSchedule() *proxytoken.Schedule {
	return proxytoken.NewSchedule(proxytoken.ScheduleOptions{
		Config: a.config.Load, Record: a.audit.Admin, Failed: a.metrics.RotationFailed, Log: a.log,
		Panicked: func(why *fault.Panic) { a.broke("rotation", why) },
		Rotator: func() *proxytoken.Rotator {
			r := a.state.rotator()
			r.Config = a.config.Load() // which may be newer than the one that the gate started with
			return r
		},
	})
}

package app

import "sallyport/internal/boundary/consent"

// newConsents takes browsers back from pages of consent.
func (a *App) newConsents() *consent.Gate {
	return consent.NewGate(consent.GateOptions{
		Connector: a.state.connector(), Config: a.config.Load, AdminURL: a.AdminURL, Changed: a.refresh, Log: a.log,
	})
}

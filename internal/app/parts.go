package app

import "sallyport/internal/monitor"

func part(name string, err error, hint string) monitor.Part {
	if err == nil {
		return monitor.Part{Name: name, Ready: true}
	}
	return monitor.Part{Name: name, Why: err.Error(), Hint: hint}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

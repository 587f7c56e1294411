package httpdriver

import (
	"context"
	"time"

	"sallyport/internal/driver"
)

// Parts of a definition that tests change answers by.
var Provider = provider

// Hasten has a driver ask pause instead of waiting.
func Hasten(d driver.Driver, pause func(context.Context, time.Duration) error) {
	d.(*api).pause = pause
}

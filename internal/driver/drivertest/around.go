package drivertest

import (
	"context"

	"sallyport/internal/driver"
)

// Around is a driver whose effects cannot be seen one by one, such as those of a command: each method is one.
type Around struct {
	driver.Driver
	Before, After *func() error // of World.Hook; they may be nil
}

func (a *Around) do(effect func() error) error {
	if *a.Before != nil {
		if err := (*a.Before)(); err != nil {
			return err
		}
	}
	if err := effect(); err != nil {
		return err
	}
	if *a.After != nil {
		return (*a.After)()
	}
	return nil
}

// Create implements driver.Driver.
func (a *Around) Create(ctx context.Context, job driver.Job) (made driver.Made, err error) {
	err = a.do(func() error {
		made, err = a.Driver.Create(ctx, job)
		return err
	})
	if err != nil {
		return driver.Made{}, err
	}
	return made, nil
}

// Set implements driver.Driver.
func (a *Around) Set(ctx context.Context, job driver.Job, made driver.Made) error {
	return a.do(func() error { return a.Driver.Set(ctx, job, made) })
}

// Test implements driver.Driver.
func (a *Around) Test(ctx context.Context, job driver.Job, made driver.Made) error {
	return a.do(func() error { return a.Driver.Test(ctx, job, made) })
}

// Undo implements driver.Driver.
func (a *Around) Undo(ctx context.Context, job driver.Job, made driver.Made) error {
	return a.do(func() error { return a.Driver.Undo(ctx, job, made) })
}

// Keys implements driver.Driver.
func (a *Around) Keys(ctx context.Context, job driver.Job) (keys []driver.Key, err error) {
	err = a.do(func() error {
		keys, err = a.Driver.Keys(ctx, job)
		return err
	})
	return keys, err
}

// Delete implements driver.Driver.
func (a *Around) Delete(ctx context.Context, job driver.Job, id string) error {
	return a.do(func() error { return a.Driver.Delete(ctx, job, id) })
}

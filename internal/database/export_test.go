package database

import "time"

// SetIdle is how long the server waits for who has a lock.
func (l *Locks) SetIdle(d time.Duration) { l.idle = d }

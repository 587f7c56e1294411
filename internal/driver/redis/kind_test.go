package redis_test

import (
	"testing"

	"sallyport/internal/driver/drivertest"
	"sallyport/internal/driver/redis"
)

func TestKind(t *testing.T) { drivertest.Kind(t, redis.Kind()) }
